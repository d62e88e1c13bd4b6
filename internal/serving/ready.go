package serving

import "net"

// ready says whether a connection can be served. One may learn only now that it cannot, as one behind a balancer that has not
// said whose it is: then it has a method Ready that says why, or is TLS over one that has. Ready may wait for the peer.
func ready(conn net.Conn) error {
	for {
		if r, ok := conn.(interface{ Ready() error }); ok {
			return r.Ready()
		}
		over, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		conn = over.NetConn()
	}
}
