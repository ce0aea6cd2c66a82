package keyvault

// partProblem tells what is wrong with asking for a part of a secret, or returns "".
func (r Reference) partProblem() string {
	switch {
	case r.Type != SecretType:
		return "only a secret can be written as its " + string(r.Format)
	case r.Encoding != UTF8 || r.Field != "":
		return "the " + string(r.Format) + " of a secret goes without encoding and field"
	}
	return ""
}
