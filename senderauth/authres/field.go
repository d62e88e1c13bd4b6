package authres

// Name is the name of the field.
const Name = "Authentication-Results"

// Field is an Authentication-Results field (RFC 8601 §2.2).
type Field struct {
	// ServID is the authserv-id, which says whose results these are.
	ServID string
	// Version is the version of the field's syntax; 0 when it is not given, which means 1. It is not written.
	Version int
	// Results are the outcomes; none stands for the word "none": nothing was checked.
	Results []Result
}

// Result is the outcome of one authentication method.
type Result struct {
	// Method is the method's name, such as "dkim", and Version its version, 0 when it is not given.
	Method  string
	Version int
	// Value is the outcome, such as "pass".
	Value string
	// Reason is the reasonspec, text for people that programs can find; empty: none.
	Reason string
	// Comment is the first comment behind the outcome, without its parentheses; empty: none.
	Comment string
	// Props are the properties that were checked.
	Props []Property
}

// Property is what a method checked: "smtp.mailfrom=example.org" has the Type "smtp" and the Name "mailfrom".
type Property struct {
	Type, Name, Value string
}

// Get gives the value of the first property with this type and name, and whether there is one. Case does not matter.
func (r Result) Get(ptype, name string) (string, bool) {
	for _, p := range r.Props {
		if equalFold(p.Type, ptype) && equalFold(p.Name, name) {
			return p.Value, true
		}
	}
	return "", false
}
