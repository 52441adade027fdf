//! Line charts as SVG: one file each, readable on a light page and on a dark one, with nothing to load from elsewhere.

use std::fmt::Write as _;

/// Who is drawn how: colours that differ in brightness as well as in hue, and dashes for those who see neither.
const STYLES: &[(&str, &str, &str)] = &[
    ("plimsoll", "#0a7cc9", ""),
    ("haproxy", "#d98200", "7 3"),
    ("envoy", "#c0479b", "2 3"),
    ("no proxy", "#808080", "10 3 2 3"),
    ("ours", "#0a7cc9", ""),
    ("Flagger-like", "#d98200", "7 3"),
    ("z-test, each 10 s", "#c0479b", "2 3"),
    ("z-test, once", "#808080", "10 3 2 3"),
];
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 120.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 55.0;

/// How numbers lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// From the first number to the second.
    Linear(f64, f64),
    /// As well, each step a factor. Both are above zero.
    Log(f64, f64),
}

#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// What it shows, with the unit.
    pub(crate) label: String,
    pub(crate) scale: Scale,
    pub(crate) ticks: Vec<f64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// What is not a number breaks the line.
    pub(crate) points: Vec<(f64, f64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
    /// A stretch along `x` that is shaded, and what it is.
    pub(crate) shade: Option<(f64, f64, String)>,
    /// A level along `y` that is marked, and what it is.
    pub(crate) mark: Option<(f64, String)>,
    /// Whether each point gets a dot: for few points, each of which was measured by itself.
    pub(crate) dots: bool,
}

impl Scale {
    /// From 0 to 1; what lies outside is drawn at the edge.
    fn place(self, number: f64) -> f64 {
        let place = match self {
            Self::Linear(from, to) => (number - from) / (to - from),
            Self::Log(from, to) => (number.max(from) / from).ln() / (to / from).ln(),
        };
        place.clamp(0.0, 1.0)
    }
}

impl Chart {
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (wide, high) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        (
            LEFT + wide * self.x.scale.place(x),
            HEIGHT - BOTTOM - high * self.y.scale.place(y),
        )
    }

    /// The whole file.
    pub(crate) fn svg(&self) -> String {
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n\
             <title>{title}</title>\n{STYLE}\
             <rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
             <text class=\"title\" x=\"{LEFT}\" y=\"24\">{title}</text>\n",
            title = escaped(&self.title)
        );
        self.draw_shade(&mut text);
        self.draw_axes(&mut text);
        self.draw_mark(&mut text);
        for line in &self.lines {
            self.draw_line(line, &mut text);
        }
        self.draw_legend(&mut text);
        text.push_str("</svg>\n");
        text
    }

    fn draw_shade(&self, text: &mut String) {
        if let Some((from, to, what)) = &self.shade {
            let (left, right) = (self.place((*from, 0.0)).0, self.place((*to, 0.0)).0);
            push(
                text,
                format_args!(
                    "<rect class=\"shade\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
                    right - left,
                    HEIGHT - TOP - BOTTOM,
                    f64::midpoint(left, right),
                    TOP - 6.0,
                    escaped(what)
                ),
            );
        }
    }

    fn draw_axes(&self, text: &mut String) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in &self.x.ticks {
            let x = self.place((*tick, 0.0)).0;
            push(
                text,
                format_args!(
                    "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
                    bottom + 18.0,
                    number(*tick)
                ),
            );
        }
        for tick in &self.y.ticks {
            let y = self.place((0.0, *tick)).1;
            push(
                text,
                format_args!(
                    "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                    LEFT - 8.0,
                    y + 4.0,
                    number(*tick)
                ),
            );
        }
        push(
            text,
            format_args!(
                "<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(18 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                f64::midpoint(LEFT, right),
                HEIGHT - 14.0,
                escaped(&self.x.label),
                f64::midpoint(TOP, bottom),
                escaped(&self.y.label)
            ),
        );
    }

    fn draw_mark(&self, text: &mut String) {
        if let Some((level, what)) = &self.mark {
            let y = self.place((0.0, *level)).1;
            push(
                text,
                format_args!(
                    "<path class=\"mark\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                    WIDTH - RIGHT + 6.0,
                    y + 4.0,
                    escaped(what),
                    right = WIDTH - RIGHT
                ),
            );
        }
    }

    fn draw_line(&self, line: &Line, text: &mut String) {
        let (colour, dashes) = style(&line.name);
        let (mut path, mut drawing) = (String::new(), false);
        for point in &line.points {
            if point.1.is_nan() {
                drawing = false;
                continue;
            }
            let (x, y) = self.place(*point);
            push(
                &mut path,
                format_args!("{}{x:.1} {y:.1}", if drawing { 'L' } else { 'M' }),
            );
            drawing = true;
            if self.dots {
                push(
                    text,
                    format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>\n"),
                );
            }
        }
        push(
            text,
            format_args!(
                "<path class=\"line\" stroke=\"{colour}\" stroke-dasharray=\"{dashes}\" d=\"{path}\"/>\n"
            ),
        );
    }

    fn draw_legend(&self, text: &mut String) {
        for (at, line) in self.lines.iter().enumerate() {
            let (colour, dashes) = style(&line.name);
            let (x, y) = (
                WIDTH - RIGHT + 10.0,
                HEIGHT - BOTTOM - 20.0 * (self.lines.len() - at) as f64 + 10.0,
            );
            push(
                text,
                format_args!(
                    "<path class=\"line\" stroke=\"{colour}\" stroke-dasharray=\"{dashes}\" d=\"M{x} {y}h26\"/>\
                 <text x=\"{}\" y=\"{}\">{}</text>\n",
                    x + 32.0,
                    y + 4.0,
                    escaped(&line.name)
                ),
            );
        }
    }
}

/// Dark by default only where the page is: a viewer that does not know the question shows the light one.
const STYLE: &str = "<style>\n\
    text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:15px;font-weight:600;fill:#111}\n\
    .page{fill:#fff}.grid{stroke:#e4e4e4}.axis{stroke:#666;fill:none}.shade{fill:#f1e4cf}\n\
    .mark{stroke:#666;stroke-dasharray:1 3}.line{fill:none;stroke-width:2}\n\
    @media (prefers-color-scheme:dark){text{fill:#ccc}.title{fill:#eee}.page{fill:#16181c}.grid{stroke:#2c3036}\n\
    .axis,.mark{stroke:#999}.shade{fill:#3a3020}}\n</style>\n";

fn style(name: &str) -> (&'static str, &'static str) {
    STYLES
        .iter()
        .find(|(known, ..)| *known == name)
        .map_or(("#808080", ""), |(_, colour, dashes)| (colour, dashes))
}

fn number(number: f64) -> String {
    // As short as it can be said: `0.5`, `10`, `1000`.
    format!("{}", (number * 1000.0).round() / 1000.0)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        Chart {
            title: "a < b".to_owned(),
            x: Axis {
                label: "x".to_owned(),
                scale: Scale::Log(0.1, 10.0),
                ticks: vec![1.0],
            },
            y: Axis {
                label: "y".to_owned(),
                scale: Scale::Linear(0.0, 10.0),
                ticks: vec![5.0],
            },
            lines: vec![Line {
                name: "envoy".to_owned(),
                points,
            }],
            shade: None,
            mark: None,
            dots: false,
        }
    }

    #[test]
    fn places_are_linear_or_by_factors_and_never_outside() {
        assert!((Scale::Linear(10.0, 20.0).place(15.0) - 0.5).abs() < 1e-9);
        assert!((Scale::Log(0.1, 10.0).place(1.0) - 0.5).abs() < 1e-9);
        for scale in [Scale::Linear(1.0, 2.0), Scale::Log(1.0, 2.0)] {
            assert!(scale.place(0.0).abs() < 1e-9 && (scale.place(9.0) - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn what_is_no_number_breaks_the_line() {
        let svg = chart(vec![(0.1, 1.0), (1.0, f64::NAN), (5.0, 2.0), (10.0, 3.0)]).svg();
        let path = svg
            .split("d=\"")
            .find(|part| part.matches('M').count() == 2)
            .unwrap();
        assert_eq!(path.split('"').next().unwrap().matches('L').count(), 1, "{path}");
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn text_is_text_and_who_is_drawn_is_named() {
        let svg = chart(vec![(1.0, 1.0)]).svg();
        assert!(
            svg.contains("<title>a &lt; b</title>") && svg.contains(">envoy</text>"),
            "{svg}"
        );
    }
}
