package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/windows"
)

// systemServers asks Windows for the DNS servers of the adapters that are up and have a gateway.
func systemServers() ([]string, error) {
	size := uint32(16 << 10)
	for range 4 { // adapters may come while one asks
		buf := make([]byte, size)
		first := (*windows.IpAdapterAddresses)(unsafe.Pointer(&buf[0]))
		err := windows.GetAdaptersAddresses(windows.AF_UNSPEC, windows.GAA_FLAG_INCLUDE_GATEWAYS, 0, first, &size)
		if err == nil {
			return adapterServers(first), nil
		}
		if !errors.Is(err, windows.ERROR_BUFFER_OVERFLOW) {
			return nil, fmt.Errorf("the adapters' DNS servers: %w", err)
		}
	}
	return nil, errors.New("the adapters' DNS servers keep changing")
}

func adapterServers(first *windows.IpAdapterAddresses) []string {
	// Windows names these site-local addresses when an adapter has no IPv6 server.
	siteLocal := netip.MustParsePrefix("fec0::/10")
	var servers []string
	for adapter := first; adapter != nil; adapter = adapter.Next {
		if adapter.OperStatus != windows.IfOperStatusUp || adapter.FirstGatewayAddress == nil {
			continue
		}
		for s := adapter.FirstDnsServerAddress; s != nil; s = s.Next {
			ip, ok := netip.AddrFromSlice(s.Address.IP())
			if !ok || siteLocal.Contains(ip) {
				continue
			}
			if ip = ip.Unmap(); ip.Is6() && ip.IsLinkLocalUnicast() {
				ip = ip.WithZone(fmt.Sprint(adapter.Ipv6IfIndex))
			}
			servers = append(servers, ip.String())
		}
	}
	return servers
}
