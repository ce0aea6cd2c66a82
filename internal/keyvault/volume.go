package keyvault

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SecretVolume is what a volume of secrets asks for, whoever serves it: the FlexVolume azure/kv, or the CSI driver.
type SecretVolume struct {
	Files    []FileItem // without the volume's name
	TenantID string
	ClientID string   // of workload identity
	Unused   []string // fields that tell the volume's own driver how to sign in, which is told elsewhere now
}

// Problem is what is wrong with a volume of secrets. It shows nothing of what fields hold.
type Problem struct {
	Field, Message, Fix string
}

// driverMode are the permission bits of files whose volume says nothing of them: so the FlexVolume and the CSI driver's
// provider had it.
const driverMode = 0o644

// volumeReader gathers what both kinds of volumes have.
type volumeReader struct {
	SecretVolume
	hosts    Hosts
	host     string // of the vault
	problems []Problem

	files, dirs map[string]string // by path: the field that asks for it
}

func (r *volumeReader) wrong(field, message, fix string) {
	r.problems = append(r.problems, Problem{field, message, fix})
}

// clouds are those of Azure by the names that its older libraries have for them, in lower case.
var clouds = map[string]string{
	"azurepubliccloud": "public", "azurecloud": "public", "azurechinacloud": "china",
	"azureusgovernmentcloud": "usgov", "azureusgovernment": "usgov",
}

// readVault reads the vault's name. It is in the cloud that is named beside it, or else in the policy's.
func (r *volumeReader) readVault(vault, vaultField, cloud, cloudField string) {
	hosts := r.hosts
	if cloud = strings.TrimSpace(cloud); cloud != "" {
		named, known := clouds[strings.ToLower(cloud)]
		switch {
		case !known:
			r.wrong(cloudField, "it is none of AzurePublicCloud, AzureChinaCloud, AzureUSGovernmentCloud",
				"name one of them, or leave it out and name the vault by its whole host")
			return
		case hosts.Cloud != "" && hosts.Cloud != "public" && hosts.Cloud != named:
			r.wrong(cloudField, "it contradicts the policy, whose keyVault.cloud is "+hosts.Cloud, "leave it out")
			return
		}
		hosts.Cloud = named
	}
	if strings.TrimSpace(vault) == "" {
		r.wrong(vaultField, "it is missing", "write the name of the vault")
		return
	}
	host, err := hosts.Host(vault)
	if err != nil {
		r.wrong(vaultField, err.Error(), "write the name of the vault")
	}
	r.host = host
}

// addFile adds a file of an object of the vault.
func (r *volumeReader) addFile(field, file string, object Object, format Format, encoding Encoding, mode int32) {
	if r.host == "" {
		return // said already
	}
	reference, err := r.hosts.secret(r.host, object.Name, object.Version)
	if err != nil {
		r.wrong(field, err.Error(), "write the object's name and version as the vault has them")
		return
	}
	reference.Type, reference.Format, reference.Encoding, reference.Mode = object.Type, format, encoding, mode
	file = path.Clean(file)
	if problem := fileProblem(file); problem != "" {
		r.wrong(field, problem, "write the name of a file as its alias")
		return
	}
	if other := r.claim(file, field); other != "" {
		r.wrong(field, "its file is in the way of that of "+other, "give one of the two another alias")
		return
	}
	r.Files = append(r.Files, FileItem{Path: file, Reference: reference})
}

// claim notes who wants a file, and gives the field that has it already, or one that needs a directory there.
func (r *volumeReader) claim(file, field string) (other string) {
	if r.files == nil {
		r.files, r.dirs = map[string]string{}, map[string]string{}
	}
	if other = cmp.Or(r.files[file], r.dirs[file]); other != "" {
		return other
	}
	for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
		if other = r.files[dir]; other != "" {
			return other
		}
		r.dirs[dir] = cmp.Or(r.dirs[dir], field)
	}
	r.files[file] = field
	return ""
}

// result is what was read, if nothing is wrong with it.
func (r *volumeReader) result() (SecretVolume, []Problem) {
	if len(r.problems) > 0 {
		return SecretVolume{}, r.problems
	}
	slices.Sort(r.Unused)
	return r.SecretVolume, nil
}

// fileProblem tells why a file can't have a path, or returns "". Names that begin with two dots belong to the links by
// which files are replaced; a dollar sign would be expanded by the kubelet, for the plan stands in an environment variable.
func fileProblem(file string) string {
	if !localPath(file) || !utf8.ValidString(file) || strings.ContainsAny(file, `$\`) || strings.ContainsFunc(file, unicode.IsControl) {
		return `its file's path must be relative, without "..", $, \ and control characters`
	}
	for name := range strings.SplitSeq(file, "/") {
		if strings.HasPrefix(name, "..") || len(name) > maxFileName {
			return fmt.Sprintf("no part of its file's path may begin with two dots or have more than %d bytes", maxFileName)
		}
	}
	return ""
}

const maxFileName = 255 // bytes; more no file system takes

// typeNamed is the type with a name: secret, cert or key, in any case.
func typeNamed(name string) (t Type, known bool) {
	switch strings.ToLower(name) {
	case "secret":
		return SecretType, true
	case "cert":
		return CertificateType, true
	case "key":
		return KeyType, true
	}
	return "", false
}
