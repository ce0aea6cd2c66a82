package keyvault

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// FlexVolumeDriver is the driver of the volumes that [Hosts.FlexVolume] reads.
const FlexVolumeDriver = "azure/kv"

// The options of the FlexVolume, as its last release (0.0.17) and older ones have them.
var (
	flexObjectOptions   = []string{"keyvaultname", "keyvaultobjectnames", "keyvaultobjecttypes", "keyvaultobjectversions", "keyvaultobjectaliases", "tenantid", "cloudname"}
	flexSingularOptions = []string{"keyvaultobjectname", "keyvaultobjecttype", "keyvaultobjectversion"}
	flexIdentityOptions = []string{"usepodidentity", "usevmmanagedidentity", "vmmanagedidentityclientid"}
	flexIgnoredOptions  = []string{"resourcegroup", "subscriptionid", "nmiport"} // they helped to find the vault and the identity
)

// flexFormats are what the driver wrote: a secret's text as the vault keeps it, the bytes of a certificate, the modulus
// of a key.
var flexFormats = map[Type]Format{SecretType: PFX, CertificateType: DER, KeyType: Modulus}

// FlexVolume reads the options of a FlexVolume azure/kv.
func (h Hosts) FlexVolume(options map[string]string) (SecretVolume, []Problem) {
	r := volumeReader{hosts: h}
	known := slices.Concat(flexObjectOptions, flexSingularOptions, flexIdentityOptions, flexIgnoredOptions)
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if !slices.Contains(known, name) {
			r.wrong(flexField(name), FlexVolumeDriver+" has no such option", "leave it out; it has "+strings.Join(flexObjectOptions, ", "))
		}
		if value := strings.TrimSpace(options[name]); slices.Contains(flexIdentityOptions, name) && value != "" && !strings.EqualFold(value, "false") {
			r.Unused = append(r.Unused, name)
		}
	}
	r.TenantID = strings.TrimSpace(options["tenantid"])
	r.readVault(options["keyvaultname"], flexField("keyvaultname"), options["cloudname"], flexField("cloudname"))
	r.readFlexObjects(options)
	return r.result()
}

// readFlexObjects reads the lists. The options of older releases count where the newer list of names is missing.
func (r *volumeReader) readFlexObjects(options map[string]string) {
	namesOption, typesOption, versionsOption := "keyvaultobjectnames", "keyvaultobjecttypes", "keyvaultobjectversions"
	if strings.TrimSpace(options[namesOption]) == "" {
		namesOption, typesOption, versionsOption = "keyvaultobjectname", "keyvaultobjecttype", "keyvaultobjectversion"
	}
	names := flexList(options[namesOption])
	for len(names) > 0 && names[len(names)-1] == "" {
		names = names[:len(names)-1]
	}
	if len(names) == 0 {
		r.wrong(flexField("keyvaultobjectnames"), "it is missing", "write the names of the objects, separated by semicolons")
		return
	}
	types := r.flexListLike(names, options, typesOption)
	versions := r.flexListLike(names, options, versionsOption)
	aliases := r.flexListLike(names, options, "keyvaultobjectaliases")
	if types == nil || versions == nil || aliases == nil {
		return
	}
	for i, name := range names {
		t, known := typeNamed(types[i])
		if !known {
			r.wrong(fmt.Sprintf("%s[%d]", flexField(typesOption), i), "it is none of secret, key, cert", "write one of them for each name")
			continue
		}
		r.addFile(fmt.Sprintf("%s[%d]", flexField(namesOption), i), cmp.Or(aliases[i], name), Object{Type: t, Name: name, Version: versions[i]}, flexFormats[t], UTF8, driverMode)
	}
}

// flexListLike reads a list that has an item for each name, or is missing and then has empty ones. It is nil where the
// counts don't agree.
func (r *volumeReader) flexListLike(names []string, options map[string]string, option string) []string {
	if strings.TrimSpace(options[option]) == "" {
		return make([]string, len(names))
	}
	items := flexList(options[option])
	if len(items) == len(names)+1 && items[len(names)] == "" { // after the last semicolon
		items = items[:len(names)]
	}
	if len(items) != len(names) {
		r.wrong(flexField(option), fmt.Sprintf("its items and the names don't agree: there are %d and %d", len(items), len(names)), "write an item for each name, separated by semicolons")
		return nil
	}
	return items
}

func flexField(option string) string { return fmt.Sprintf("options[%q]", option) }

func flexList(text string) []string {
	items := strings.Split(text, ";")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}
