package dmarc

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
)

// Limits on the page.
const (
	chartRows  = 20  // sources in the chart
	tableRows  = 500 // sources in the table
	pageAdvice = 50  // groups of sources with the same advice
)

// Measures of the chart, in its own units. An address stands above its bar, so that the longest fits a telephone, where
// letters are larger in relation; the number of messages stands behind it.
const (
	chartWidth = 600
	chartBars  = 480 // width of the longest bar
	chartStep  = 60  // from one bar to the next
	chartBar   = 20  // height
	chartName  = 14  // middle of an address, from the top of its step
	chartTop   = 30  // top of a bar, the same
	chartLeast = 2   // width of what is there at all
)

// bar is one source in the chart.
type bar struct {
	Source            *ReportSource
	NameY, Y, NumberY int
	Passed, Failed    int64 // widths
	NumberX           int64
}

// htmlView is what the template gets.
type htmlView struct {
	*reportView
	Bars                               []bar
	ChartWidth, ChartHeight, BarHeight int
	Percent                            int64
	Rows                               []ReportSource
	Groups                             []adviceGroup
	MoreBars, MoreRows, MoreGroups     int
}

func (v *reportView) html() *htmlView {
	bars := v.Sources[:min(len(v.Sources), chartRows)]
	h := &htmlView{
		reportView: v, ChartWidth: chartWidth, ChartHeight: len(bars) * chartStep, BarHeight: chartBar,
		Percent: percent(v.Total.Passed, v.Total.Messages), Rows: v.Sources[:min(len(v.Sources), tableRows)],
	}
	h.Groups = v.Advice[:min(len(v.Advice), pageAdvice)]
	h.MoreBars, h.MoreRows, h.MoreGroups = len(v.Sources)-len(bars), len(v.Sources)-len(h.Rows), len(v.Advice)-len(h.Groups)
	for i := range bars {
		s := &bars[i]
		top := i * chartStep
		b := bar{Source: s, NameY: top + chartName, Y: top + chartTop, NumberY: top + chartTop + chartBar/2}
		b.Passed, b.Failed = width(s.Passed, bars[0].Messages), width(s.Failed(), bars[0].Messages) // the first has the most
		b.NumberX = b.Passed + b.Failed + 8
		h.Bars = append(h.Bars, b)
	}
	return h
}

// width is how wide n messages are where most of them have the longest bar.
func width(n, most int64) int64 {
	if n <= 0 || most <= 0 {
		return 0
	}
	return max(int64(float64(n)/float64(most)*chartBars), chartLeast)
}

// Label tells a bar in words.
func (b bar) Label() string {
	s := b.Source
	return fmt.Sprintf("%s: %s, %d passed, %d failed", s.Name(), count(s.Messages, "message", "messages"), s.Passed, s.Failed())
}

// WriteHTML writes the report for a person as one page of HTML that needs nothing else: no script, no font, no image and
// no network. It has the sums, a chart of what passed and failed by source, why messages failed and what to do, and a
// table; of many sources it shows the largest. It follows the reader's choice of light or dark, fits a telephone, and is
// made to be read aloud. All that comes from the report is escaped. The only errors are w's.
func (r *Report) WriteHTML(w io.Writer) error {
	page, err := template.New("report").Parse(reportPage)
	if err != nil {
		return fmt.Errorf("dmarc: write report as HTML: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, r.view().html()); err != nil {
		return fmt.Errorf("dmarc: write report as HTML: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("dmarc: write report as HTML: %w", err)
	}
	return nil
}
