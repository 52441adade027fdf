//! What a run says: tables in Markdown, a file of the day, and the marked section of `bench/README.md`.

use std::fs;

use anyhow::Context as _;

use super::aims::{AIMS, Judged, OURS};
use super::cases::{CASES, Case, Work};
use super::peers::PEERS;
use super::results::{Figure, Results, Spread};

const README: &str = "bench/README.md";

/// All tables of what was measured, the aims first: they are what the reader came for.
pub(crate) fn tables(results: &Results) -> String {
    let mut text = aims(results);
    let mut saturated = String::new();
    for case in CASES {
        match case.work {
            Work::Saturate(_) => saturated.push_str(&saturation(case, results)),
            Work::Rest { .. } => text.push_str(&titled(
                "| proxy | after the start, MB | per connection, KiB | closed |\n|---|---|---|---|\n",
                case,
                &memory(case, results),
            )),
            Work::Reload(_) => text.push_str(&titled(
                "| reloads in a round | req/s meanwhile | failed |\n|---|---|---|\n",
                case,
                &reload(case, results),
            )),
        }
    }
    if !saturated.is_empty() {
        text.push_str(
            "\n| saturated | proxy | CPU µs per request | plimsoll's against it | CPU in use, % | req/s | 99 % within, ms | failed |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        text.push_str(&saturated);
    }
    text
}

fn titled(head: &str, case: &Case, rows: &str) -> String {
    if rows.is_empty() {
        return String::new();
    }
    format!("\n**{}**\n\n{head}{rows}", case.title)
}

fn aims(results: &Results) -> String {
    let judged: Vec<Judged> = AIMS.iter().filter_map(|aim| aim.judge(results)).collect();
    verdicts(&judged)
}

/// The table of what was aimed at; nothing if there is nothing to judge.
pub(crate) fn verdicts(judged: &[Judged]) -> String {
    let rows: Vec<String> = judged
        .iter()
        .map(|judged| {
            format!(
                "| {} | {} | {} | {} |\n",
                judged.what, judged.measured, judged.aim, judged.verdict
            )
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "| figure | measured | aim | verdict |\n|---|---|---|---|\n{}",
        rows.concat()
    )
}

fn saturation(case: &Case, results: &Results) -> String {
    let row = |name: &'static str| {
        let of = |figure, digits| shown(results.of(case.name, name, figure), digits);
        let cpu = of(Figure::CpuMicros, 1)?;
        let against = if name == OURS {
            "—".to_owned()
        } else {
            shown(&results.ratios(case.name, OURS, name, Figure::CpuMicros), 2).unwrap_or_default()
        };
        Some(format!(
            "| {} | {name} | {cpu} | {against} | {} | {} | {} | {} |\n",
            case.title,
            of(Figure::BusyPercent, 0).unwrap_or_default(),
            of(Figure::Rate, 0).unwrap_or_default(),
            of(Figure::P99Millis, 1).unwrap_or_else(|| "—".to_owned()),
            sum(results.of(case.name, name, Figure::Failed)),
        ))
    };
    PEERS.iter().filter_map(|peer| row(peer.name)).collect()
}

fn memory(case: &Case, results: &Results) -> String {
    let row = |name: &'static str| {
        let of = |figure| shown(results.of(case.name, name, figure), 1);
        let closed = sum(results.of(case.name, name, Figure::Failed));
        Some(format!(
            "| {name} | {} | {} | {closed} |\n",
            of(Figure::RestMegabytes)?,
            of(Figure::ConnectionKib)?
        ))
    };
    PEERS.iter().filter_map(|peer| row(peer.name)).collect()
}

fn reload(case: &Case, results: &Results) -> String {
    let of = |figure| shown(results.of(case.name, OURS, figure), 0);
    let Some(reloads) = of(Figure::Reloads) else {
        return String::new();
    };
    let failed = sum(results.of(case.name, OURS, Figure::Failed));
    format!(
        "| {reloads} | {} | {failed} |\n",
        of(Figure::Rate).unwrap_or_default()
    )
}

fn shown(numbers: &[f64], digits: usize) -> Option<String> {
    Some(Spread::of(numbers)?.shown(digits))
}

fn sum(numbers: &[f64]) -> f64 {
    // Begun from plain zero: the sum of nothing is -0.0.
    numbers.iter().fold(0.0, |sum, number| sum + number)
}

/// Writes `bench/results/DATE-NAME.md`, and the section NAME of `bench/README.md`. Links are written as the latter needs
/// them.
///
/// # Errors
/// If one cannot be written, or the section is not there.
pub(crate) fn keep(name: &str, date: &str, text: &str) -> anyhow::Result<()> {
    let directory = crate::root().join("bench/results");
    fs::create_dir_all(&directory).context("creating bench/results")?;
    let path = directory.join(format!("{date}-{name}.md"));
    let whole = format!("# {name}, {date}\n\n{}", text.replace("](results/", "]("));
    fs::write(&path, whole).with_context(|| format!("writing {}", path.display()))?;
    let readme = crate::root().join(README);
    let old = fs::read_to_string(&readme).with_context(|| format!("reading {README}"))?;
    let new = with_section(&old, name, text)
        .with_context(|| format!("finding the section `{name}` of {README}, between its two comments"))?;
    fs::write(&readme, new).with_context(|| format!("writing {README}"))?;
    eprintln!("written: {} and {README}", path.display());
    Ok(())
}

/// The text with what stands between `<!-- begin NAME -->` and `<!-- end NAME -->` replaced.
fn with_section(text: &str, name: &str, section: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{section}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_is_left() {
        let text = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n";
        let new = with_section(text, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- begin x -->\n\nnew\n\n<!-- end x -->\nb\n");
        assert_eq!(with_section(&new, "x", "new\n").unwrap(), new);
        assert_eq!(with_section(text, "y", "new\n"), None);
    }

    #[test]
    fn the_readme_has_the_sections() {
        let readme = fs::read_to_string(crate::root().join(README)).unwrap();
        for name in ["gateway", "judge", "overload", "pages", "policy", "upgrades"] {
            assert!(with_section(&readme, name, "").is_some(), "{name}");
        }
    }

    #[test]
    fn what_was_not_measured_has_no_table() {
        assert_eq!(tables(&Results::default()), "");
        let mut results = Results::default();
        let figures = [
            (Figure::CpuMicros, 20.0),
            (Figure::BusyPercent, 90.0),
            (Figure::Rate, 5.0),
        ];
        results.add("h2", "nginx", &figures);
        let text = tables(&results);
        assert!(
            text.contains("| nginx | 20.0 (20.0..20.0) |  | 90 (90..90) | 5 (5..5) | — | 0 |"),
            "{text}"
        );
        assert!(!text.contains("aim"), "{text}");
    }
}
