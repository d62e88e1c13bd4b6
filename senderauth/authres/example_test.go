package authres_test

import (
	"fmt"

	"github.com/mailbricks/mailbricks/senderauth/authres"
)

func Example() {
	field := authres.Field{ServID: "mx.example.com", Results: []authres.Result{{
		Method: "spf", Value: "pass",
		Props: []authres.Property{{Type: "smtp", Name: "mailfrom", Value: "example.org"}},
	}}}
	fmt.Printf("%q\n", field.String())

	read, err := authres.Parse("mx.example.com; dkim=fail (altered) header.d=example.org")
	fmt.Println(read.ServID, read.Results[0].Method, read.Results[0].Value, err)
	fmt.Println(authres.Forged("MX.example.com; spf=pass", "mx.example.com"))
	// Output:
	// "mx.example.com;\r\n\tspf=pass smtp.mailfrom=example.org"
	// mx.example.com dkim fail <nil>
	// true
}
