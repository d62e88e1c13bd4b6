// Package directory keeps the accounts, aliases and quotas of a mail server in four text files, in the forms that
// docker-mailserver uses, so that its files can be taken over as they are:
//
//	accounts.cf   ann@example.com|{SHA512-CRYPT}$6$…    further |fields are kept
//	aliases.cf    sales@example.com ann@example.com,bob@example.org
//	              @example.com ann@example.com          a catch-all
//	regexp.cf     /^info-.*@example\.com$/ ann@example.com
//	quotas.cf     ann@example.com:5G
//
// Lines that begin with "#" (also indented) are comments, and they are kept when the files are changed here. The files
// may be edited by hand at any time: a [Directory] looks at their dates at most once a second and reads them anew. A file
// with a mistake leaves in force what was read before; the error names the file and the line.
//
// # How an address is resolved
//
// An address is an account, an exact alias, matched by a regular-expression alias, or caught by its domain's catch-all, in
// this order. Where the whole address names nothing, the part from the first "+" on is cut from its local part. Aliases
// may point to aliases and to other servers' addresses. Case does not matter, and an internationalized domain is the
// same in both its forms.
package directory
