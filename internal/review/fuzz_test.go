package review_test

import (
	"encoding/json"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"twelvefold.dev/internal/manifest"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/policy/rules"
	"twelvefold.dev/internal/review"
	"twelvefold.dev/internal/review/reviewtest"
)

// Whatever pod, annotation and policy come: no panic, and a patch that applies.
func FuzzFull(f *testing.F) {
	const noPolicy = `{"apiVersion":"twelvefold.dev/v1alpha1","kind":"Policy","spec":{}}`
	f.Add([]byte(`{}`), "twelvefold.dev/keyvault", "shop", []byte(noPolicy))
	f.Add([]byte(`{"spec":{"containers":[{"name":"a","env":[{"name":"A","value":"x${@Microsoft.KeyVault(VaultName=shop;SecretName=a)}$(B)"}]}]}}`),
		"file.twelvefold.dev/a", "https://shop.vault.azure.net/secrets/a?optional",
		[]byte(`{"apiVersion":"twelvefold.dev/v1alpha1","kind":"Policy","spec":{"keyVault":{"vaults":[{"name":"shop","namespaces":["*"]}],"identity":{"clientID":"22222222-2222-4222-8222-222222222222","tenantID":"t"}}}}`))
	f.Add([]byte(`{"spec":{"initContainers":[{"name":"twelvefold-fetch","args":["fetch"],"env":[{"name":"TWELVEFOLD_PLAN","value":"{\"env\":[{\"key\":\"K99999\",\"vault\":\"shop.vault.azure.net\",\"secret\":\"a\",\"name\":\"A\"}]}"}]}],"volumes":[{"name":"twelvefold-env"},{"name":"twelvefold-token","projected":{"sources":[]}}]}}`),
		"env.twelvefold.dev/A", "@microsoft.keyvault(vaultname=shop;secretname=b)", []byte(noPolicy))
	f.Add([]byte(`{"spec":{"containers":[{"name":"a","env":[{"name":"A","value":"$$${@Microsoft.KeyVault("},{"valueFrom":{}}],"volumeMounts":[{}]}],"os":{}}}`),
		"twelvefold.dev/secrets-path", "/../", []byte(noPolicy))
	f.Add([]byte(`{"spec":{"containers":[{"name":"a","volumeMounts":[{"name":"kv","mountPath":"/kv"}]}],"volumes":[{"name":"kv","flexVolume":{"driver":"azure/kv","options":{"keyvaultname":"shop","keyvaultobjectnames":"a;b;","keyvaultobjecttypes":"cert;key","keyvaultobjectaliases":";x/y"}}}]}}`),
		"twelvefold.dev/csi", "adopt", []byte(noPolicy))
	f.Add([]byte(`{"spec":{"initContainers":[{"name":"twelvefold-fetch","args":["fetch"],"env":[{"name":"TWELVEFOLD_PLAN","value":"{\"files\":[{\"volume\":\"kv\",\"path\":\"a\",\"vault\":\"shop.vault.azure.net\",\"object\":\"a\"}]}"}]}],"containers":[{"name":"a","volumeMounts":[{"name":"kv"}]}],"volumes":[{"name":"kv","emptyDir":{"medium":"Memory"}},{"name":"kv","flexVolume":{"driver":"azure/kv","options":{"keyvaultname":"shop","keyvaultobjectname":"a","keyvaultobjecttype":"secret"}}}]}}`),
		"twelvefold.dev/log-files", "/kv/a", []byte(noPolicy))
	f.Add([]byte(`{"metadata":{"annotations":{"twelvefold.dev/rotation":"restart"}},"spec":{"initContainers":[{"name":"i"}],"containers":[{"name":"a","args":["$(B)"],
	  "env":[{"name":"A","value":"@Microsoft.KeyVault(VaultName=shop;SecretName=a)"},{"name":"B","value":"$(A"}],"livenessProbe":{"exec":{"command":["a"]}},"lifecycle":{"preStop":{"exec":{}}}}]}}`),
		"twelvefold.dev/delivery", "exec", []byte(noPolicy))
	f.Add([]byte(`{"spec":{"initContainers":[{"name":"twelvefold-sync","restartPolicy":"Always","args":["sync"]}],"containers":[{"name":"a","env":[{"name":"A","value":"@Twelvefold(K0)"}]}],"volumes":[{"name":"twelvefold-bin","emptyDir":{}}]}}`),
		"twelvefold.dev/rotation", "files", []byte(`{"apiVersion":"twelvefold.dev/v1alpha1","kind":"Policy","spec":{"keyVault":{"identity":{"kind":"managed"}}}}`))
	f.Fuzz(func(t *testing.T, pod []byte, key, value string, document []byte) {
		p, err := policy.Parse(document, rules.Catalogue{})
		if err != nil {
			return
		}
		var object map[string]any
		if json.Unmarshal(pod, &object) != nil || object == nil {
			return
		}
		meta, _ := object["metadata"].(map[string]any)
		if meta == nil {
			meta = map[string]any{}
			object["metadata"] = meta
		}
		annotations, _ := meta["annotations"].(map[string]any)
		if annotations == nil {
			annotations = map[string]any{}
			meta["annotations"] = annotations
		}
		annotations[key] = value
		data, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		in := review.Input{Object: manifest.Object{APIVersion: "v1", Kind: "Pod", JSON: data}, Policy: p, Facts: reviewtest.Facts}
		in.Facts.Offline = true
		in.Facts.Entrypoint = func(image string) ([]string, []string, error) { return nil, []string{image}, nil }
		verdict, err := review.Full(in)
		if err != nil || len(verdict.Patch) == 0 {
			return
		}
		operations, err := json.Marshal(verdict.Patch)
		if err != nil {
			t.Fatal(err)
		}
		patch, err := jsonpatch.DecodePatch(operations)
		if err != nil {
			t.Fatal(err)
		}
		if in.Object.JSON, err = patch.Apply(data); err != nil {
			t.Fatalf("%s does not apply to %s: %v", operations, data, err)
		}
		again, err := review.Mutate(in)
		if err != nil || again.Denied() || len(again.Patch) > 0 {
			t.Errorf("the second pass over %s: %v %v %v", in.Object.JSON, again.Patch, again.Findings, err)
		}
	})
}
