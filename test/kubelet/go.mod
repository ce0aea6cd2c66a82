// The kubelet's own parser of env files, for a test that compares it with our writer. A module of its own keeps
// k8s.io/kubernetes out of ours; it is of the version that test/controlplane has. What is imported from it imports
// nothing outside the standard library, so there is no more to require.
module twelvefold.dev/test/kubelet

go 1.26.0

require (
	k8s.io/kubernetes v1.37.2
	twelvefold.dev v0.0.0
)

replace twelvefold.dev => ../..
