//! Figures as a small picture: bars beside each other, in SVG.

use std::fmt::Write as _;

const BAR: u32 = 44;
const GAP: u32 = 22;
const HEIGHT: u32 = 150;
const TITLE: u32 = 34;

/// One row of bars under a title.
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) bars: Vec<(String, f64)>,
}

impl Chart {
    /// Without a bar yet.
    pub(crate) fn new(title: &'static str) -> Self {
        Self { title, bars: vec![] }
    }
}

/// All charts in one file, one below the other.
pub(crate) fn svg(charts: &[Chart]) -> String {
    let widest = charts.iter().map(|chart| chart.bars.len()).max().unwrap_or(0);
    let width = (u32::try_from(widest).unwrap_or(1) * (BAR + GAP) + GAP).max(460);
    let each = HEIGHT + TITLE + 40;
    let height = u32::try_from(charts.len()).unwrap_or(1) * each;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
    );
    for (number, chart) in (0_u32..).zip(charts) {
        row(&mut text, chart, number * each);
    }
    text.push_str("</svg>\n");
    text
}

fn row(text: &mut String, chart: &Chart, top: u32) {
    let most = chart.bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    // Writing to a `String` cannot fail.
    let _ = write!(text, "<text x=\"{GAP}\" y=\"{}\" font-size=\"14\">{}</text>", top + 20, chart.title);
    for (number, (name, value)) in (0_u32..).zip(&chart.bars) {
        let (left, ground) = (GAP + number * (BAR + GAP), top + TITLE + HEIGHT);
        let tall = value / most * f64::from(HEIGHT - 16);
        let middle = left + BAR / 2;
        let _ = write!(
            text,
            "<rect x=\"{left}\" y=\"{:.1}\" width=\"{BAR}\" height=\"{tall:.1}\" fill=\"#07c160\"/>\
             <text x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">{value:.0}</text>\
             <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{name}</text>",
            f64::from(ground) - tall,
            f64::from(ground) - tall - 4.0,
            ground + 16
        );
    }
}
