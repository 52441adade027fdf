//! A strict parser of the metrics page, written from the grammar of OpenMetrics 1.0 and from the description of
//! Prometheus' text format 0.0.4, and from nothing in the encoder: what it refuses, some scraper refuses.

use std::collections::{BTreeMap, HashSet};

use super::Format;

pub(crate) type Labels = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) unit: Option<String>,
    pub(crate) help: Option<String>,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) value: f64,
    pub(crate) exemplar: Option<(Labels, f64, Option<f64>)>,
}

/// The families of a page, or the line that is wrong and why.
pub(crate) fn parse(page: &str, format: Format) -> Result<Vec<Family>, String> {
    let open = format == Format::OpenMetrics;
    let mut lines: Vec<&str> = page
        .strip_suffix('\n')
        .ok_or("the last line does not end")?
        .split('\n')
        .collect();
    if open && lines.pop() != Some("# EOF") {
        return Err("there is no # EOF at the end".to_owned());
    }
    let mut families: Vec<Family> = Vec::new();
    for line in lines {
        let fail = |why: &str| format!("{why}: {line}");
        if let Some(rest) = line.strip_prefix("# ") {
            head(rest, open, &mut families).map_err(|why| fail(&why))?;
        } else {
            let family = families
                .last_mut()
                .ok_or_else(|| fail("a sample before any family"))?;
            let sample = Cursor { text: line, at: 0 }
                .sample(open)
                .map_err(|why| fail(&why))?;
            check_name(family, &sample, open).map_err(|why| fail(&why))?;
            family.samples.push(sample);
        }
    }
    let mut names = HashSet::new();
    for family in &families {
        if !names.insert(&family.name) {
            return Err(format!("family {} stands twice", family.name));
        }
        check_family(family, open)?;
    }
    Ok(families)
}

/// `TYPE name type`, `UNIT name unit` or `HELP name text`.
fn head(line: &str, open: bool, families: &mut Vec<Family>) -> Result<(), String> {
    let (keyword, rest) = line.split_once(' ').ok_or("a comment that says nothing")?;
    let (name, text) = rest.split_once(' ').ok_or("a head without a text")?;
    let first = name
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':');
    if !first
        || !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
    {
        return Err("not a metric name".to_owned());
    }
    if families.last().is_none_or(|family| family.name != name) {
        families.push(Family {
            name: name.to_owned(),
            ..Family::default()
        });
    }
    let family = families.last_mut().ok_or("no family")?;
    if !family.samples.is_empty() {
        return Err("a head after its samples".to_owned());
    }
    match keyword {
        "TYPE" if family.kind.is_empty() => text.clone_into(&mut family.kind),
        "UNIT" if open && family.unit.is_none() => family.unit = Some(text.to_owned()),
        "HELP" if family.help.is_none() => family.help = Some(text.to_owned()),
        _ => return Err("an unknown or repeated head".to_owned()),
    }
    Ok(())
}

/// Samples are named after their family with the suffixes of its type.
fn check_name(family: &Family, sample: &Sample, open: bool) -> Result<(), String> {
    let suffix = sample
        .name
        .strip_prefix(&family.name)
        .ok_or("a sample of another family")?;
    let suffixes: &[&str] = match (family.kind.as_str(), open) {
        ("counter", true) => &["_total"],
        ("info", true) => &["_info"],
        ("histogram", _) => &["_bucket", "_count", "_sum"],
        ("gauge" | "summary", _) | ("counter", false) => &[""],
        _ => return Err("an unknown type".to_owned()),
    };
    if !suffixes.contains(&suffix) {
        return Err("a wrong suffix".to_owned());
    }
    let quantile = sample
        .labels
        .get("quantile")
        .map(|quantile| number(quantile, true))
        .transpose()?;
    if quantile.is_some() != (family.kind == "summary") || quantile.is_some_and(|q| !(0.0..=1.0).contains(&q))
    {
        return Err("a quantile where none may be, or none where it must".to_owned());
    }
    let may_have_exemplar = open && matches!(suffix, "_total" | "_bucket");
    if sample.exemplar.is_some() && !may_have_exemplar {
        return Err("an exemplar where none may be".to_owned());
    }
    Ok(())
}

fn check_family(family: &Family, open: bool) -> Result<(), String> {
    let fail = |why: &str| Err(format!("{why}: {}", family.name));
    if family.kind.is_empty() || family.help.is_none() {
        return fail("no type or no help");
    }
    if family
        .unit
        .as_ref()
        .is_some_and(|unit| !family.name.ends_with(&format!("_{unit}")))
    {
        return fail("the unit is not the end of the name");
    }
    if family.kind == "counter" && open == family.name.ends_with("_total") {
        return fail("_total in the wrong place");
    }
    let mut seen = HashSet::new();
    for sample in &family.samples {
        if !seen.insert((&sample.name, &sample.labels)) {
            return fail("a sample stands twice");
        }
        if family.kind == "counter" && (sample.value < 0.0 || sample.value.is_nan()) {
            return fail("a counter is negative or no number");
        }
    }
    if family.kind == "histogram" {
        check_histogram(family)
    } else {
        Ok(())
    }
}

/// Per label set: buckets with rising bounds and counts, the last `+Inf` and equal to the count, and a sum.
fn check_histogram(family: &Family) -> Result<(), String> {
    let fail = |why: &str| Err(format!("{why}: {}", family.name));
    let mut groups: Vec<(Labels, Vec<&Sample>)> = Vec::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        labels.remove("le");
        if groups.last().is_none_or(|(known, _)| *known != labels) {
            groups.push((labels, Vec::new()));
        }
        groups.last_mut().ok_or("no group")?.1.push(sample);
    }
    for (_, samples) in groups {
        let (mut bound, mut count) = (f64::NEG_INFINITY, 0.0);
        let of = |suffix: &str| samples.iter().find(|s| s.name.ends_with(suffix)).map(|s| s.value);
        for bucket in samples.iter().filter(|s| s.name.ends_with("_bucket")) {
            let le = number(bucket.labels.get("le").map_or("", String::as_str), true)?;
            if le <= bound || bucket.value < count {
                return fail("buckets do not rise");
            }
            let misplaced = |value: f64| value > le || value <= bound;
            if bucket
                .exemplar
                .as_ref()
                .is_some_and(|(_, value, _)| misplaced(*value))
            {
                return fail("an exemplar in another's bucket");
            }
            (bound, count) = (le, bucket.value);
        }
        if bound != f64::INFINITY || of("_count") != Some(count) || of("_sum").is_none_or(f64::is_nan) {
            return fail("the histogram does not close");
        }
    }
    Ok(())
}

/// A number; `canonical` refuses what OpenMetrics does not allow in `le`.
fn number(text: &str, canonical: bool) -> Result<f64, String> {
    match text {
        "+Inf" => return Ok(f64::INFINITY),
        "-Inf" => return Ok(f64::NEG_INFINITY),
        "NaN" => return Ok(f64::NAN),
        _ => {}
    }
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e'));
    if !plain || (canonical && !text.contains(['.', 'e'])) {
        return Err(format!("`{text}` is no number here"));
    }
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn sample(mut self, open: bool) -> Result<Sample, String> {
        let name = self.until(|b| b == b'{' || b == b' ').to_owned();
        let labels = if self.peek() == Some(b'{') {
            self.labels()?
        } else {
            Labels::new()
        };
        self.take(b' ')?;
        let value = number(self.until(|b| b == b' '), false)?;
        let mut exemplar = None;
        if open && self.rest().starts_with(" # ") {
            self.at += 3;
            let labels = self.labels()?;
            let length: usize = labels
                .iter()
                .map(|(n, v)| n.chars().count() + v.chars().count())
                .sum();
            if length > 128 {
                return Err("an exemplar of more than 128 characters".to_owned());
            }
            self.take(b' ')?;
            let value = number(self.until(|b| b == b' '), false)?;
            let at = if self.peek() == Some(b' ') {
                self.take(b' ')?;
                Some(number(self.until(|b| b == b' '), false)?)
            } else {
                None
            };
            exemplar = Some((labels, value, at));
        }
        if self.at != self.text.len() {
            return Err("more after the sample".to_owned());
        }
        Ok(Sample {
            name,
            labels,
            value,
            exemplar,
        })
    }

    fn labels(&mut self) -> Result<Labels, String> {
        self.take(b'{')?;
        let mut labels = Labels::new();
        loop {
            let name = self.until(|b| b == b'=').to_owned();
            let first = name
                .bytes()
                .next()
                .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
            if !first || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(format!("`{name}` is no label name"));
            }
            self.take(b'=')?;
            let value = self.quoted()?;
            if labels.insert(name, value).is_some() {
                return Err("a label stands twice".to_owned());
            }
            match self.peek() {
                Some(b',') => self.take(b',')?,
                _ => return self.take(b'}').map(|()| labels),
            }
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        self.take(b'"')?;
        let mut value = String::new();
        let mut letters = self.rest().char_indices();
        while let Some((offset, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.at += offset + 1;
                    return Ok(value);
                }
                '\\' => match letters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                    _ => return Err("an unknown escape".to_owned()),
                },
                letter => value.push(letter),
            }
        }
        Err("a value that does not end".to_owned())
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.rest().bytes().next()
    }

    fn take(&mut self, byte: u8) -> Result<(), String> {
        if self.peek() != Some(byte) {
            return Err(format!("no `{}` at byte {}", char::from(byte), self.at));
        }
        self.at += 1;
        Ok(())
    }

    fn until(&mut self, stop: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.bytes().position(stop).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }
}
