package rules

import (
	"fmt"
	"net/netip"
	"regexp"

	"twelvefold.dev/internal/policy"
)

// hardcodedAddressParams are the parameters of hardcoded-address.
type hardcodedAddressParams struct {
	AllowedCIDRs []netip.Prefix `yaml:"allowedCIDRs"` // networks whose addresses may stand in a spec
}

// hardcoded-address
//
//	restricted: URLs and connection strings in env[*].value and arguments of all containers, variables that name a service (DB_HOST); hostAliases
//	allowed:    addresses of this host (0/8, 127/8, ::1), link-local and multicast ones, allowed networks
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "hardcoded-address", Factor: "IV", Levels: policy.At(policy.Warn),
			Params: hardcodedAddressParams{AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("168.63.129.16/32")}}}, // Azure's own, the same everywhere
		Page: policy.Page{
			Title:   "A service is addressed by its IP address",
			Why:     "Addresses change: a Service that is made anew, a database that fails over, a cluster in another network. Then the app must be released to find it, and the same manifest can't run in another environment. TLS certificates are for names, so encryption is often off, too.",
			Fix:     "Use the name: <service>.<namespace>.svc in the cluster, a DNS name outside. For an address without a name make a Service with an EndpointSlice, or a record in a private DNS zone.",
			Allowed: "0.0.0.0/8 and 127.0.0.0/8, where an app listens; ::, ::1; link-local addresses such as the cloud's metadata endpoint; multicast; networks in the policy's params: allowedCIDRs. IP addresses outside of URLs and connection strings, as in NO_PROXY or a CIDR, but for variables that name a database or broker (DB_HOST, KAFKA_BROKERS).",
			Example: "env:\n- name: CATALOG_URL\n  value: http://catalog.shop.svc:8080\n",
		},
		Check: checkHardcodedAddress,
	})
}

// addressURL finds the address behind scheme:// and, if there is one, the user.
var addressURL = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^\s/@"']*@)?(?:\[([0-9a-fA-F:.]+)\]|(\d{1,3}(?:\.\d{1,3}){3}))(?:[:/?#,;\s"']|$)`)

var (
	// addressField finds it in a connection string: Server=10.0.0.5;Database=shop.
	addressField = regexp.MustCompile(`(?i)(?:^|[;\s"'])(?:server|data source|host)\s*=\s*(?:tcp:)?(\d{1,3}(?:\.\d{1,3}){3})(?:[,:;\s"'\\]|$)`)
	// addressOnly is a list of addresses, with ports or without.
	addressOnly = regexp.MustCompile(`^(\d{1,3}(?:\.\d{1,3}){3})(?::\d{1,5})?(?:\s*,\s*\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?)*$`)
)

// addressIn are the addresses at which a text looks for other machines.
func (t text) addressIn() []string {
	var found []string
	for _, m := range addressURL.FindAllStringSubmatch(t.Value, -1) {
		found = append(found, m[1]+m[2])
	}
	if m := addressField.FindStringSubmatch(t.Value); m != nil && dbField.MatchString(t.Value) {
		found = append(found, m[1])
	}
	if _, isService := serviceByName(t.Name); isService && t.place == inEnv {
		if m := addressOnly.FindStringSubmatch(t.Value); m != nil {
			found = append(found, m[1])
		}
	}
	return found
}

func checkHardcodedAddress(s *Subject, report func(Violation)) {
	allowed := Params[hardcodedAddressParams](s).AllowedCIDRs
	for t := range s.texts() {
		if t.place > inArgument {
			continue
		}
		for _, literal := range t.addressIn() {
			if address, fixed := fixedAddress(literal, allowed); fixed {
				report(Violation{Path: t.Path, Container: t.Container, Message: fmt.Sprintf("names the address %s", address),
					Fix: "use a name: <service>.<namespace>.svc"})
				break
			}
		}
	}
	for i, alias := range s.Pod.Spec.HostAliases {
		if address, fixed := fixedAddress(alias.IP, allowed); fixed {
			report(Violation{Path: fmt.Sprintf("spec.hostAliases[%d]", i), Message: fmt.Sprintf("gives the address %s a name in this pod only", address),
				Fix: "make a DNS record, or a Service with an EndpointSlice"})
		}
	}
}

// thisHost are addresses that mean the host itself, though not all of them are loopback.
var thisHost = netip.MustParsePrefix("0.0.0.0/8")

// fixedAddress says whether a text is the address of some other host that isn't allowed.
func fixedAddress(text string, allowed []netip.Prefix) (netip.Addr, bool) {
	address, err := netip.ParseAddr(text)
	if err != nil {
		return address, false
	}
	address = address.Unmap()
	if address.IsUnspecified() || address.IsLoopback() || address.IsLinkLocalUnicast() || address.IsMulticast() || thisHost.Contains(address) {
		return address, false
	}
	for _, prefix := range allowed {
		if prefix.Contains(address) {
			return address, false
		}
	}
	return address, true
}
