package keyvault_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"twelvefold.dev/internal/keyvault"
)

func file(path string, change func(*keyvault.Reference)) keyvault.FileItem {
	f := keyvault.FileItem{Path: path, Reference: keyvault.Reference{Vault: "shop.vault.azure.net", Name: path, Mode: 0o644}}
	if change != nil {
		change(&f.Reference)
	}
	return f
}

// asKept is how the FlexVolume wrote secrets: even a certificate's, as Key Vault keeps it.
func asKept(r *keyvault.Reference) { r.Format = keyvault.PFX }

// Shapes of options that the driver took in some release, and what it wrote.
func TestFlexVolume(t *testing.T) {
	for name, tc := range map[string]struct {
		options string
		want    []keyvault.FileItem
	}{
		"plural": {`"keyvaultobjectnames":"a;b;c","keyvaultobjecttypes":"secret;key;cert"`, []keyvault.FileItem{
			file("a", asKept),
			file("b", func(r *keyvault.Reference) { r.Type, r.Format = keyvault.KeyType, keyvault.Modulus }),
			file("c", func(r *keyvault.Reference) { r.Type, r.Format = keyvault.CertificateType, keyvault.DER })}},
		"singular":          {`"keyvaultobjectname":"a","keyvaultobjecttype":"SECRET"`, []keyvault.FileItem{file("a", asKept)}},
		"singular, a list":  {`"keyvaultobjectname":"a;b","keyvaultobjecttype":"secret;secret","keyvaultobjectnames":" "`, []keyvault.FileItem{file("a", asKept), file("b", asKept)}},
		"both":              {`"keyvaultobjectname":"x;y","keyvaultobjecttype":"key","keyvaultobjectnames":"a","keyvaultobjecttypes":"secret"`, []keyvault.FileItem{file("a", asKept)}},
		"singular, version": {`"keyvaultobjectname":"a","keyvaultobjecttype":"secret","keyvaultobjectversion":"` + version + `"`, []keyvault.FileItem{file("a", func(r *keyvault.Reference) { r.Format, r.Version = keyvault.PFX, version })}},
		"blanks":            {`"keyvaultobjectnames":" a ; b ;; ","keyvaultobjecttypes":" secret ; secret ; "`, []keyvault.FileItem{file("a", asKept), file("b", asKept)}},
		"empty lists":       {`"keyvaultobjectnames":"a;b","keyvaultobjecttypes":"secret;secret","keyvaultobjectaliases":"","keyvaultobjectversions":";"`, []keyvault.FileItem{file("a", asKept), file("b", asKept)}},
		"empty items": {`"keyvaultobjectnames":"a;b","keyvaultobjecttypes":"secret;secret","keyvaultobjectaliases":"x;;","keyvaultobjectversions":";` + strings.ToUpper(version) + `"`, []keyvault.FileItem{
			file("x", func(r *keyvault.Reference) { r.Name, r.Format = "a", keyvault.PFX }),
			file("b", func(r *keyvault.Reference) { r.Format, r.Version = keyvault.PFX, version })}},
		"alias with other characters": {`"keyvaultobjectnames":"a","keyvaultobjecttypes":"secret","keyvaultobjectaliases":"./conf d/a+b@1.json"`, []keyvault.FileItem{file("conf d/a+b@1.json", func(r *keyvault.Reference) { r.Name, r.Format = "a", keyvault.PFX })}},
	} {
		t.Run(name, func(t *testing.T) {
			got, problems := keyvault.Hosts{}.FlexVolume(flexOptions(t, tc.options))
			if diff := cmp.Diff(tc.want, got.Files); diff != "" || len(problems) > 0 {
				t.Errorf("%v (-want +got):\n%s", problems, diff)
			}
		})
	}
}

func flexOptions(t testing.TB, options string) (all map[string]string) {
	t.Helper()
	if err := json.Unmarshal([]byte(`{"keyvaultname":"shop",`+options+`}`), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// Who signs in is said elsewhere: what tells it to the drivers is named, if it is more than the default.
func TestVolumesTellOfTheirIdentity(t *testing.T) {
	got, problems := keyvault.Hosts{}.FlexVolume(flexOptions(t, `"keyvaultobjectnames":"a","keyvaultobjecttypes":"secret",
		"tenantid":" t ","usepodidentity":"False","vmmanagedidentityclientid":" ","usevmmanagedidentity":"true","resourcegroup":"x","subscriptionid":"x","nmiport":"x"`))
	if len(problems) > 0 || got.TenantID != "t" || !slices.Equal(got.Unused, []string{"usevmmanagedidentity"}) {
		t.Errorf("FlexVolume: %+v %v", got, problems)
	}
	got, problems = keyvault.Hosts{}.ProviderClass(class(`"tenantID":"t","tenantId":"u","clientID":" c ","usePodIdentity":"0","useVMManagedIdentity":"t","userAssignedIdentityID":"",
		"resourceGroup":"x","subscriptionId":"x","objects":"array: [{objectName: a, objectType: secret}]"`))
	if len(problems) > 0 || got.TenantID != "t" || got.ClientID != "c" || !slices.Equal(got.Unused, []string{"useVMManagedIdentity"}) {
		t.Errorf("SecretProviderClass: %+v %v", got, problems)
	}
}

// A cloud that is named beats the policy's default, and must not contradict the one that the policy names.
func TestVolumesNameTheirCloud(t *testing.T) {
	for _, tc := range []struct{ policy, cloud, vault, want string }{
		{"", "AzureChinaCloud", "shop", "shop.vault.azure.cn"},
		{"public", "AZUREUSGOVERNMENT", "shop", "shop.vault.usgovcloudapi.net"},
		{"china", " ", "shop", "shop.vault.azure.cn"},
		{"china", "AzureChinaCloud", "shop", "shop.vault.azure.cn"},
		{"", "AzureChinaCloud", "shop.vault.azure.net", "shop.vault.azure.net"},
		{"china", "AzurePublicCloud", "shop", ""},
		{"", "AzureGermanCloud", "shop", ""},
		{"", "AzureStackCloud", "shop", ""},
		{"", "", "", ""},
	} {
		options := map[string]string{"keyvaultname": tc.vault, "cloudname": tc.cloud, "keyvaultobjectnames": "a", "keyvaultobjecttypes": "secret"}
		got, problems := keyvault.Hosts{Cloud: tc.policy}.FlexVolume(options)
		if len(problems) == 1 && tc.want == "" {
			continue
		}
		if len(problems) > 0 || got.Files[0].Vault != tc.want {
			t.Errorf("%+v: %+v %v", tc, got, problems)
		}
	}
}

func class(parameters string) []byte {
	return []byte(`{"apiVersion":"secrets-store.csi.x-k8s.io/v1","spec":{"provider":"azure","parameters":{"keyvaultName":"shop",` + parameters + `}}}`)
}

// Objects are YAML in YAML, in two ways of writing it, and their values stay as they are written.
func TestProviderClass(t *testing.T) {
	const objects = `
array:
  - |
    objectName: a   # a comment
    objectType: secret
    objectAlias: ""
    objectVersion: ~
    filePermission: 0440
  - objectName: "b "
    objectType: Cert
    objectFormat: PEM
  - {objectName: 123, objectType: key, objectVersionHistory: 0}
  - '{"objectName": "d", "objectType": "secret", "objectAlias": "tls/d.pfx", "objectFormat": "pfx", "objectEncoding": "BASE64", "objectVersion": "` + version + `"}'
  - &e {objectName: e, objectType: secret, objectEncoding: Hex, filePermission: "777"}
`
	text, err := json.Marshal(objects)
	if err != nil {
		t.Fatal(err)
	}
	got, problems := keyvault.Hosts{}.ProviderClass(class(`"objects":` + string(text)))
	want := []keyvault.FileItem{
		file("a", func(r *keyvault.Reference) { r.Mode = 0o440 }),
		file("b", func(r *keyvault.Reference) { r.Type = keyvault.CertificateType }),
		file("123", func(r *keyvault.Reference) { r.Type = keyvault.KeyType }),
		file("tls/d.pfx", func(r *keyvault.Reference) {
			r.Name, r.Format, r.Encoding, r.Version = "d", keyvault.PFX, keyvault.Base64, version
		}),
		file("e", func(r *keyvault.Reference) { r.Encoding, r.Mode = keyvault.Hex, 0o777 }),
	}
	if diff := cmp.Diff(want, got.Files); diff != "" || len(problems) > 0 {
		t.Errorf("%v (-want +got):\n%s", problems, diff)
	}
}

// What can't be brought is refused by its field, and nothing is brought in part.
func TestProviderClassRefuses(t *testing.T) {
	object := func(more string) string {
		return `"objects":"array: [{objectName: a, objectType: secret, ` + more + `}]"`
	}
	for parameters, want := range map[string]string{
		object("objectVersionHistory: 2"):                  "spec.parameters.objects[0].objectVersionHistory",
		object("objectVersionHistory: many"):               "spec.parameters.objects[0].objectVersionHistory",
		object("filePermission: 0o644"):                    "spec.parameters.objects[0].filePermission",
		object("filePermission: 1777"):                     "spec.parameters.objects[0].filePermission",
		object("filePermission: -1"):                       "spec.parameters.objects[0].filePermission",
		object("filePermission: 0"):                        "spec.parameters.objects[0].filePermission",
		object("objectFormat: der"):                        "spec.parameters.objects[0].objectFormat",
		object("objectAlias: ../a"):                        "spec.parameters.objects[0]",
		object("objectAlias: /a"):                          "spec.parameters.objects[0]",
		object("objectAlias: ..data"):                      "spec.parameters.objects[0]",
		object("objectAlias: $(X)"):                        "spec.parameters.objects[0]",
		object("objectAlias: " + strings.Repeat("a", 256)): "spec.parameters.objects[0]",
		object("<<: {objectAlias: b}"):                     `spec.parameters.objects[0]["<<"]`,
		`"objects":"array: [{objectName: a, objectType: key, objectEncoding: hex}]"`: "spec.parameters.objects[0].objectEncoding",
		`"objects":"array: [{objectName: a}]"`:                                       "spec.parameters.objects[0].objectType",
		`"objects":"array: ['a: [']"`:                                                "spec.parameters.objects[0]",
		`"objects":"- a"`:                                                            "spec.parameters.objects",
		`"tenantID":"t"`:                                                             "spec.parameters.objects",
		`"objects":"array: [{objectName: a, objectType: secret}]","cloudEnvFileName":"/etc/x"`:   "spec.parameters.cloudEnvFileName",
		`"objects":"array: [{objectName: a, objectType: secret}]","keyvaultname":"other"`:        `spec.parameters["keyvaultname"]`,
		`"objects":"array: [{objectName: a, objectType: secret}]","cloudName":"AzureStackCloud"`: "spec.parameters.cloudName",
	} {
		got, problems := keyvault.Hosts{}.ProviderClass(class(parameters))
		if len(problems) != 1 || problems[0].Field != want || len(got.Files) > 0 {
			t.Errorf("%s: %+v; want %s", parameters, problems, want)
		}
	}
}

// checkVolume: what is read makes a plan that passes, and what is refused says so.
func checkVolume(t *testing.T, v keyvault.SecretVolume, problems []keyvault.Problem) {
	t.Helper()
	for _, p := range problems {
		if p.Field == "" || p.Message == "" || p.Fix == "" {
			t.Errorf("incomplete: %+v", p)
		}
	}
	if len(problems) > 0 {
		if len(v.Files) > 0 {
			t.Errorf("refused, and yet: %+v", v)
		}
		return
	}
	if err := (keyvault.Plan{Files: v.Files}).Validate(); err != nil {
		t.Errorf("%+v: %v", v, err)
	}
	for i, f := range v.Files {
		if strings.ContainsAny(f.Path, "$\\\x00\n") || strings.HasPrefix(f.Path, "..") || strings.Contains(f.Path, "/..") {
			t.Errorf("path %q", f.Path)
		}
		for _, other := range v.Files[:i] {
			if strings.HasPrefix(other.Path+"/", f.Path+"/") || strings.HasPrefix(f.Path+"/", other.Path+"/") {
				t.Errorf("%q and %q", f.Path, other.Path)
			}
		}
	}
}

func FuzzFlexVolume(f *testing.F) {
	f.Add("shop", "a;b;c", "secret;key;cert", "x;;y/z", ";;"+version, "", "AzurePublicCloud", "keyvaultobjectname", "a")
	f.Add("Shop.vault.azure.cn", "", "", ";", "", "t", "azurechinacloud", "keyvaultobjectname", "a;b;")
	f.Add("s", "a;a", "secret;secret;", "a/b;a", "latest;", "$(X)", "AzureGermanCloud", "usepodidentity", "true")
	f.Add("shop", "../a;b", "SECRET;Cert", "..data;./x/../y", "", "", "", "\x00", "\n")
	f.Fuzz(func(t *testing.T, vault, names, types, aliases, versions, tenant, cloud, option, value string) {
		v, problems := keyvault.Hosts{}.FlexVolume(map[string]string{option: value, "keyvaultname": vault, "keyvaultobjectnames": names, "keyvaultobjecttypes": types,
			"keyvaultobjectaliases": aliases, "keyvaultobjectversions": versions, "tenantid": tenant, "cloudname": cloud})
		checkVolume(t, v, problems)
	})
}

func FuzzProviderClass(f *testing.F) {
	f.Add("azure", "shop", "array: [{objectName: a, objectType: secret}]", "tenantID", "t")
	f.Add("azure", "shop", "array:\n- |\n  objectName: a\n  objectType: cert\n  objectAlias: a/b\n  filePermission: 0600\n- objectName: a\n  objectType: key\n", "cloudName", "AzureChinaCloud")
	f.Add("azure", "shop", "array: [&a {objectName: a, objectType: *a}, *a, [*a], \"\", ~, 'x: {', !!binary YQ==]", "clientID", "c")
	f.Add("azure", "shop", "array: ['- a', '---\n...\n', '{objectName: a, objectType: secret, objectFormat: pfx, objectEncoding: base64, objectVersionHistory: 1}']", "usePodIdentity", "x")
	f.Add("vault", "", "", "", "")
	f.Fuzz(func(t *testing.T, provider, vault, objects, parameter, value string) {
		raw, err := json.Marshal(map[string]any{"apiVersion": "secrets-store.csi.x-k8s.io/v1", "spec": map[string]any{"provider": provider,
			"parameters": map[string]string{parameter: value, "keyvaultName": vault, "objects": objects}}})
		if err != nil {
			t.Fatal(err)
		}
		v, problems := keyvault.Hosts{}.ProviderClass(raw)
		checkVolume(t, v, problems)
		v, problems = keyvault.Hosts{}.ProviderClass([]byte(objects))
		checkVolume(t, v, problems)
	})
}

// A class of many objects is read in time that grows with their number, not faster.
func BenchmarkProviderClass(b *testing.B) {
	var objects strings.Builder
	objects.WriteString("array: [")
	for i := range 5000 {
		fmt.Fprintf(&objects, "{objectName: s%d, objectType: secret, objectAlias: a/b/c/%d}, ", i, i)
	}
	text, err := json.Marshal(objects.String() + "]")
	if err != nil {
		b.Fatal(err)
	}
	raw := class(`"objects":` + string(text))
	for b.Loop() {
		if v, problems := (keyvault.Hosts{}).ProviderClass(raw); len(v.Files) != 5000 {
			b.Fatal(problems)
		}
	}
}
