// Package authres writes and reads Authentication-Results fields (RFC 8601), in which a mail server tells those behind it
// how it checked where a message comes from.
//
//	field := authres.Field{ServID: "mx.example.com", Results: []authres.Result{{
//		Method: "spf", Value: "pass",
//		Props: []authres.Property{{Type: "smtp", Name: "mailfrom", Value: "example.org"}},
//	}}}
//	msg.Prepend(authres.Name, field.String())
//
// What is written is always one well-formed field, whatever the values hold. What is read may be anybody's: nothing
// in a field is true because it stands there. Before a server adds its own field it must remove all others that could
// be taken for its own (RFC 8601 §5); [Forged] tells which these are.
package authres
