package keyvault

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The CSI driver that SecretProviderClasses are for, and the API group that they are of.
const (
	SecretsStoreDriver = "secrets-store.csi.k8s.io"
	secretsStoreGroup  = "secrets-store.csi.x-k8s.io/"
)

// The parameters of the driver's provider azure.
var (
	classParameters         = []string{"keyvaultName", "objects", "tenantID", "tenantId", "clientID", "cloudName", "cloudEnvFileName"}
	classIdentityParameters = []string{"usePodIdentity", "useVMManagedIdentity", "userAssignedIdentityID", "useAzureTokenProxy"}
	classIgnoredParameters  = []string{"resourceGroup", "subscriptionId"} // of its first releases
)

// ProviderClass reads a SecretProviderClass, as JSON.
func (h Hosts) ProviderClass(object []byte) (SecretVolume, []Problem) {
	r := volumeReader{hosts: h}
	var class struct {
		APIVersion string `json:"apiVersion"`
		Spec       struct {
			Provider      string            `json:"provider"`
			Parameters    map[string]string `json:"parameters"`
			SecretObjects []json.RawMessage `json:"secretObjects"`
		} `json:"spec"`
	}
	if json.Unmarshal(object, &class) != nil {
		r.wrong("spec", "it can't be read: provider and parameters must be text", "put numbers and booleans in quotes")
		return r.result()
	}
	if !strings.HasPrefix(class.APIVersion, secretsStoreGroup) {
		r.wrong("apiVersion", "it is not of "+secretsStoreGroup, "write "+secretsStoreGroup+"v1")
	}
	if class.Spec.Provider != "azure" {
		r.wrong("spec.provider", "only the provider azure reads from Key Vault", "take another volume for it")
		return r.result()
	}
	if len(class.Spec.SecretObjects) > 0 {
		r.wrong("spec.secretObjects", "it would have the CSI driver make Kubernetes Secrets, which hold the values in etcd; without the driver's volume there are none",
			"remove it, and set variables by annotations env.twelvefold.dev/NAME")
	}
	r.readParameters(class.Spec.Parameters)
	return r.result()
}

func (r *volumeReader) readParameters(parameters map[string]string) {
	const place = "spec.parameters."
	known := slices.Concat(classParameters, classIdentityParameters, classIgnoredParameters)
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if !slices.Contains(known, name) {
			r.wrong(fmt.Sprintf("spec.parameters[%q]", name), "the provider azure has no such parameter", "leave it out; it has "+strings.Join(classParameters, ", "))
		}
		if value := strings.TrimSpace(parameters[name]); slices.Contains(classIdentityParameters, name) && value != "" && !isFalse(value) {
			r.Unused = append(r.Unused, name)
		}
	}
	r.TenantID = cmp.Or(strings.TrimSpace(parameters["tenantID"]), strings.TrimSpace(parameters["tenantId"]))
	r.ClientID = strings.TrimSpace(parameters["clientID"])
	if strings.TrimSpace(parameters["cloudEnvFileName"]) != "" {
		r.wrong(place+"cloudEnvFileName", "a cloud of one's own can't be described here", "leave it out, and add its DNS suffix to the policy's keyVault.dnsSuffixes")
	}
	r.readVault(parameters["keyvaultName"], place+"keyvaultName", parameters["cloudName"], place+"cloudName")
	r.readClassObjects(place+"objects", parameters["objects"])
}

// isFalse says whether a parameter is false, as the provider reads it.
func isFalse(value string) bool {
	b, err := strconv.ParseBool(value)
	return err == nil && !b
}

// readClassObjects reads YAML with a list named array, whose items are YAML once more, or mappings.
func (r *volumeReader) readClassObjects(field, text string) {
	var list struct {
		Array []yaml.Node `yaml:"array"`
	}
	switch err := yaml.Unmarshal([]byte(text), &list); {
	case err != nil:
		r.wrong(field, "it is no YAML with a list named array", "correct it")
	case len(list.Array) == 0:
		r.wrong(field, "its array is empty", "list the objects")
	}
	for i := range list.Array {
		place := fmt.Sprintf("%s[%d]", field, i)
		if fields, ok := r.classObject(place, &list.Array[i]); ok {
			r.readClassObject(place, fields)
		}
	}
}

var objectKeys = []string{"objectName", "objectType", "objectAlias", "objectVersion", "objectVersionHistory", "objectFormat", "objectEncoding", "filePermission"}

// classObject are the keys of an object, and their values as they are written: 0644 must not become a number.
func (r *volumeReader) classObject(place string, node *yaml.Node) (fields map[string]string, ok bool) {
	node = resolved(node)
	if node.Kind == yaml.ScalarNode {
		var inner yaml.Node
		if yaml.Unmarshal([]byte(node.Value), &inner) != nil || len(inner.Content) != 1 {
			inner = yaml.Node{}
		} else {
			inner = *resolved(inner.Content[0])
		}
		node = &inner
	}
	if node.Kind != yaml.MappingNode {
		r.wrong(place, "it is no YAML mapping", "write objectName: and objectType: of the object")
		return nil, false
	}
	fields, ok = map[string]string{}, true
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i].Value, resolved(node.Content[i+1])
		_, twice := fields[key]
		if !slices.Contains(objectKeys, key) || twice || value.Kind != yaml.ScalarNode {
			r.wrong(fmt.Sprintf("%s[%q]", place, key), "it is no key of an object, is there twice, or holds no plain value", "correct it; an object has "+strings.Join(objectKeys, ", "))
			ok = false
			continue
		}
		fields[key] = ""
		if value.Tag != "!!null" {
			fields[key] = strings.TrimSpace(value.Value)
		}
	}
	return fields, ok
}

// resolved is the node that a YAML alias stands for.
func resolved(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func (r *volumeReader) readClassObject(place string, fields map[string]string) {
	before := len(r.problems)
	t, known := typeNamed(fields["objectType"])
	if !known {
		r.wrong(place+".objectType", "it is none of secret, key, cert", "write one of them")
	}
	if history := fields["objectVersionHistory"]; history != "" {
		if n, err := strconv.ParseInt(history, 10, 32); err != nil || n > 1 {
			r.wrong(place+".objectVersionHistory", "only one version of an object is brought", "leave it out, or write 1")
		}
	}
	format, encoding := PEM, UTF8
	switch strings.ToLower(fields["objectFormat"]) {
	case "", "pem":
	case "pfx":
		format = PFX
		if known && t != SecretType {
			r.wrong(place+".objectFormat", "pfx holds a private key, which only objectType: secret brings", "write objectType: secret, or leave it out")
		}
	default:
		r.wrong(place+".objectFormat", "it is none of pem, pfx", "write one of them")
	}
	switch strings.ToLower(fields["objectEncoding"]) {
	case "", "utf-8":
	case "hex":
		encoding = Hex
	case "base64":
		encoding = Base64
	default:
		r.wrong(place+".objectEncoding", "it is none of utf-8, hex, base64", "write one of them")
	}
	if encoding != UTF8 && known && t != SecretType {
		r.wrong(place+".objectEncoding", "only a secret has an encoding", "leave it out")
	}
	mode := int64(driverMode)
	if permission := fields["filePermission"]; permission != "" {
		var err error
		if mode, err = strconv.ParseInt(permission, 8, 32); err != nil || mode <= 0 || mode > 0o777 {
			r.wrong(place+".filePermission", "it is no octal number from 0001 to 0777", "write one, such as 0644")
		}
	}
	if len(r.problems) > before {
		return
	}
	file := cmp.Or(fields["objectAlias"], fields["objectName"])
	r.addFile(place, file, Object{Type: t, Name: fields["objectName"], Version: fields["objectVersion"]}, format, encoding, int32(mode))
}
