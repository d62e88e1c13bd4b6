// Package resolver is a caching DNS client for programs that look up much and often, as mail servers do.
//
// A [Resolver] has the look-up methods of *net.Resolver, with the same types and errors, and [Resolver.Lookup], which
// says what that one cannot: the TTL, whether a validating server vouches for an answer (DANE needs it), and whether a
// name does not exist at all or only has no record of the type. It is a stub resolver (RFC 1034 §5.3.1): it asks
// recursive servers and does not validate DNSSEC itself.
//
// Answers are cached for their TTL, also negative ones (RFC 2308). Many callers that ask the same at once cause one
// query. Queries go over UDP with EDNS, each from a port of its own with a random ID, and over TCP where the answer was
// cut short. What does not fit the question is taken for a forgery and not read, and after some of these the question
// goes over TCP too. An answer is kept for its question only, never for other names that it tells of.
//
// Memory is bounded by Resolver.CacheBytes and, for look-ups under way, by Resolver.MaxQueries and the callers. [Trace]
// tells of queries, their time and cache hits, for those who count.
//
// All names are absolute: there is no search list, and /etc/hosts is not read. What RFC 6761 reserves (localhost,
// invalid, and onion of RFC 7686) is answered here.
package resolver
