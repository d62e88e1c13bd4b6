package dmarc

// container is an element of a report that has elements in it.
type container uint8

const (
	unknownElement container = iota // and all that is in it
	textElement                     // one of a report that has text in it
	feedbackElement
	metadataElement
	rangeElement
	policyElement
	recordElement
	rowElement
	evaluatedElement
	reasonElement
	identifiersElement
	resultsElement
	dkimElement
	spfElement
)

// inside gives the container that a name stands for in another one.
func (c container) inside(name []byte) container {
	switch c {
	case feedbackElement:
		switch string(name) {
		case "report_metadata":
			return metadataElement
		case "policy_published":
			return policyElement
		case "record":
			return recordElement
		}
	case metadataElement:
		if string(name) == "date_range" {
			return rangeElement
		}
	case recordElement:
		switch string(name) {
		case "row":
			return rowElement
		case "identifiers", "identities": // the latter in drafts of RFC 7489
			return identifiersElement
		case "auth_results":
			return resultsElement
		}
	case rowElement:
		if string(name) == "policy_evaluated" {
			return evaluatedElement
		}
	case evaluatedElement:
		if string(name) == "reason" {
			return reasonElement
		}
	case resultsElement:
		switch string(name) {
		case "dkim":
			return dkimElement
		case "spf":
			return spfElement
		}
	}
	return unknownElement
}

// field is where the text of an element goes; nil when the element has none that is wanted.
func (d *reportDecoder) field(parent container, name []byte) *string {
	switch parent {
	case feedbackElement:
		if string(name) == "version" {
			return &d.report.Version
		}
	case metadataElement:
		return d.metadataField(name)
	case rangeElement:
		switch string(name) {
		case "begin":
			return &d.begin
		case "end":
			return &d.end
		}
	case policyElement:
		return d.policyField(name)
	case rowElement:
		switch string(name) {
		case "source_ip":
			return &d.source
		case "count":
			return &d.count
		}
	case evaluatedElement, identifiersElement:
		return d.recordField(parent, name)
	case reasonElement:
		switch string(name) {
		case "type":
			return &d.reason.Type
		case "comment":
			return &d.reason.Comment
		}
	case dkimElement, spfElement:
		return d.resultField(parent, name)
	}
	return nil
}

func (d *reportDecoder) metadataField(name []byte) *string {
	m := &d.report.Metadata
	switch string(name) {
	case "org_name":
		return &m.OrgName
	case "email":
		return &m.Email
	case "extra_contact_info":
		return &m.ExtraContactInfo
	case "report_id":
		return &m.ReportID
	case "error":
		return &d.metaError
	case "generator":
		return &m.Generator
	}
	return nil
}

func (d *reportDecoder) policyField(name []byte) *string {
	p := &d.report.Policy
	switch string(name) {
	case "domain":
		return &p.Domain
	case "discovery_method":
		return &p.DiscoveryMethod
	case "p":
		return &p.Policy
	case "sp":
		return &p.Subdomain
	case "np":
		return &p.Nonexistent
	case "fo":
		return &p.FailureOptions
	case "adkim":
		return &p.DKIMAlignment
	case "aspf":
		return &p.SPFAlignment
	case "testing", "t":
		return &p.Testing
	case "pct":
		return &p.Percent
	}
	return nil
}

func (d *reportDecoder) recordField(parent container, name []byte) *string {
	r := &d.record
	if parent == evaluatedElement {
		switch string(name) {
		case "disposition":
			return &r.Disposition
		case "dkim":
			return &r.DKIM
		case "spf":
			return &r.SPF
		}
		return nil
	}
	switch string(name) {
	case "header_from":
		return &r.HeaderFrom
	case "envelope_from":
		return &r.EnvelopeFrom
	case "envelope_to":
		return &r.EnvelopeTo
	}
	return nil
}

func (d *reportDecoder) resultField(parent container, name []byte) *string {
	switch dkim := parent == dkimElement; string(name) {
	case "domain":
		if dkim {
			return &d.dkim.Domain
		}
		return &d.spf.Domain
	case "result":
		if dkim {
			return &d.dkim.Result
		}
		return &d.spf.Result
	case "human_result":
		if dkim {
			return &d.dkim.Human
		}
		return &d.spf.Human
	case "selector":
		if dkim {
			return &d.dkim.Selector
		}
	case "scope":
		if !dkim {
			return &d.spf.Scope
		}
	}
	return nil
}
