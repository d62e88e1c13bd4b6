package dmarc

// reportPage is the template of WriteHTML. Colours never stand alone: the numbers are beside them. The roles of the table
// are those that its elements have anyway, for they lose them where a narrow screen shows its rows as blocks.
const reportPage = `{{define "list"}}{{range $i, $d := .}}{{if $i}}, {{end}}{{$d}}{{end}}{{end}}<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>DMARC report from {{.Org}} about {{.Domain}}</title>
<style>
:root { --page: #fff; --text: #1c1f23; --quiet: #57606a; --line: #d5dae0; --box: #f4f6f8; --pass: #1a7f4b; --fail: #c2410c; }
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --text: #e6e9ec; --quiet: #9aa4af; --line: #333a42; --box: #1d2127; --pass: #3fb97c; --fail: #ff8a4c;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 62rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
p { margin: .25rem 0; }
ul { margin: .25rem 0; padding-left: 1.25rem; }
code { font-size: .9em; }
.quiet { color: var(--quiet); }
.sums { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.25rem 0 0; padding: 0; }
.sums div { flex: 1 1 8rem; background: var(--box); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.sums dt { color: var(--quiet); font-size: .9rem; }
.sums dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
.pass { color: var(--pass); }
.fail { color: var(--fail); }
svg { display: block; width: 100%; max-width: 40rem; height: auto; }
svg text { font: 15px ui-monospace, monospace; fill: var(--text); dominant-baseline: central; }
svg .p { fill: var(--pass); }
svg .f { fill: var(--fail); }
.key span { margin-right: 1.25rem; }
.key span::before { content: ""; display: inline-block; width: .8em; height: .8em; margin-right: .4em;
  background: currentColor; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; overflow-wrap: normal; }
.d { overflow-wrap: anywhere; min-width: 8rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .5rem; border-bottom: 1px solid var(--line); }
th { color: var(--quiet); font-weight: 600; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
@media (max-width: 45rem) {
  svg text { font-size: 24px; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, td, tbody th { display: block; }
  tr { border-bottom: 1px solid var(--line); padding: .5rem 0; }
  th, td { border: 0; padding: .1rem 0; }
  tbody th { color: var(--text); }
  td, td.n { text-align: left; padding-left: 9rem; min-height: 1.5rem; position: relative; }
  td::before { content: attr(data-name); position: absolute; left: 0; color: var(--quiet); }
}
@media print { body { max-width: none; } }
</style>
</head>
<body>
<header>
<h1>DMARC report from {{.Org}} about {{.Domain}}</h1>
<p>{{.Period}}</p>
<p>Policy published: <code>{{.Policy}}</code></p>
</header>
<main>
<dl class="sums">
<div><dt>Messages</dt><dd>{{.Total.Messages}}</dd></div>
<div><dt>Passed</dt><dd{{if .Total.Passed}} class="pass"{{else if .Total.Failed}} class="fail"{{end}}>{{.Total.Passed}} ({{.Percent}} %)</dd></div>
<div><dt>Failed</dt><dd{{if .Total.Failed}} class="fail"{{end}}>{{.Total.Failed}}</dd></div>
<div><dt>Quarantined</dt><dd>{{.Total.Quarantined}}</dd></div>
<div><dt>Rejected</dt><dd>{{.Total.Rejected}}</dd></div>
</dl>
{{with .Bars}}<section aria-labelledby="chart-heading">
<h2 id="chart-heading">Who sends in your name</h2>
<p class="key"><span class="pass">passed</span> <span class="fail">failed</span></p>
<svg viewBox="0 0 {{$.ChartWidth}} {{$.ChartHeight}}" role="img" aria-labelledby="chart-title chart-desc">
<title id="chart-title">Messages by source, passed and failed</title>
<desc id="chart-desc">{{range .}}{{.Label}}. {{end}}{{with $.MoreBars}}{{.}} more sources are not in the chart.{{end}}</desc>
{{range .}}<g><title>{{.Label}}</title>
<text x="0" y="{{.NameY}}">{{.Source.Name}}</text>
<rect class="p" x="0" y="{{.Y}}" width="{{.Passed}}" height="{{$.BarHeight}}"></rect>
<rect class="f" x="{{.Passed}}" y="{{.Y}}" width="{{.Failed}}" height="{{$.BarHeight}}"></rect>
<text x="{{.NumberX}}" y="{{.NumberY}}">{{.Source.Messages}}</text></g>
{{end}}</svg>
{{with $.MoreBars}}<p class="quiet">{{.}} more sources, each with no more messages than these, are not in the chart.</p>
{{end}}</section>
{{end}}<section aria-labelledby="advice-heading">
<h2 id="advice-heading">What to do</h2>
{{range .Groups}}<h3>{{.Heading}}</h3>
<ul>
{{range .Lines}}<li>{{.}}</li>
{{end}}</ul>
{{else}}<p>Nothing: every message in this report passed.</p>
{{end}}{{with .MoreGroups}}<p class="quiet">{{.}} more groups of sources are not told of.</p>
{{end}}</section>
<section aria-labelledby="sources-heading">
<h2 id="sources-heading">All sources</h2>
<table role="table" aria-labelledby="sources-heading">
<thead role="rowgroup">
<tr role="row">
<th scope="col" role="columnheader">Source</th>
<th scope="col" role="columnheader" class="n">Messages</th>
<th scope="col" role="columnheader" class="n">Passed</th>
<th scope="col" role="columnheader" class="n">DKIM</th>
<th scope="col" role="columnheader" class="n">SPF</th>
<th scope="col" role="columnheader" class="n">Quarantined</th>
<th scope="col" role="columnheader" class="n">Rejected</th>
<th scope="col" role="columnheader">From</th>
<th scope="col" role="columnheader">Identified as</th>
</tr>
</thead>
<tbody role="rowgroup">
{{range .Rows}}<tr role="row">
<th scope="row" role="rowheader">{{.Name}}</th>
<td class="n" role="cell" data-name="Messages">{{.Messages}}</td>
<td class="n" role="cell" data-name="Passed">{{if .Failed}}<span class="fail">{{.Passed}}</span>{{else}}{{.Passed}}{{end}}</td>
<td class="n" role="cell" data-name="DKIM">{{.DKIM}}</td>
<td class="n" role="cell" data-name="SPF">{{.SPF}}</td>
<td class="n" role="cell" data-name="Quarantined">{{.Quarantined}}</td>
<td class="n" role="cell" data-name="Rejected">{{.Rejected}}</td>
<td class="d" role="cell" data-name="From">{{template "list" .From}}</td>
<td class="d" role="cell" data-name="Identified as">{{with .Identified}}{{template "list" .}}{{else}}nobody{{end}}</td>
</tr>
{{end}}</tbody>
</table>
{{with .MoreRows}}<p class="quiet">{{.}} more sources are not in the table.</p>
{{end}}</section>
{{with .Errors}}<section aria-labelledby="errors-heading">
<h2 id="errors-heading">What the receiver says of your policy record</h2>
<ul>
{{range .}}<li>{{.}}</li>
{{end}}</ul>
</section>
{{end}}{{with .Warnings}}<section aria-labelledby="warnings-heading">
<h2 id="warnings-heading">Where the report does not keep to the standard</h2>
<ul>
{{range .}}<li>{{.}}</li>
{{end}}</ul>
</section>
{{end}}</main>
<footer>
<h2>About this report</h2>
<p class="quiet">Anybody can send a report: it shows what its sender says.
{{with .ID}}Report {{.}}.{{end}}
{{with .Email}}Contact: {{.}}.{{end}}
{{with .Contact}}More: {{.}}.{{end}}
{{with .Generator}}Made by {{.}}.{{end}}</p>
</footer>
</body>
</html>
`
