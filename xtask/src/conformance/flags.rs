//! Flags, evaluated by our own crate and by flagd's evaluators: the same definitions and contexts, by chance, and every
//! answer compared.
//!
//! The peers are flagd itself (Go, second generation of bucketing), its evaluators for JavaScript (second, and an old
//! release for the first) and for Python (third). What each of them is not asked, because it is at odds with flagd there,
//! stands with its reason in `flags/generate.rs`.
//!
//! `--pairs N` asks each peer for that many pairs of a definition and a context, `--peer NAME` only one of them, and
//! `--seed N` begins elsewhere. Without, the pairs are few and always the same.

mod generate;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use plimsoll_flags::{Bucketing, Context, FlagSet, Kind};
use serde_json::{Value, json};

use super::{Bench, Verdict, has, javascript, python, quietly, write};
use generate::{Generator, Question};

/// Pairs for each peer where nobody says how many.
const PAIRS: u64 = 20_000;
/// Contexts for each definition. Compiling a rule takes the peers longer than evaluating it.
const CONTEXTS: u64 = 10;
/// Definitions that a peer is asked in one go.
const BATCH: u64 = 5_000;
/// Disagreements that are told in full; the others are counted.
const TOLD_MAX: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Flagd,
    JavaScript,
    OldJavaScript,
    Python,
}

const PEERS: &[(&str, Peer)] = &[
    ("flagd", Peer::Flagd),
    ("javascript", Peer::JavaScript),
    ("javascript-v1", Peer::OldJavaScript),
    ("python", Peer::Python),
];

impl Peer {
    pub(super) fn bucketing(self) -> Bucketing {
        match self {
            Self::Flagd | Self::JavaScript => Bucketing::V2,
            Self::OldJavaScript => Bucketing::V1,
            Self::Python => Bucketing::V3,
        }
    }

    /// What starts it, once it is installed; or why it cannot be had.
    fn install(self, place: &Path) -> anyhow::Result<Result<Command, &'static str>> {
        let node = |place: &Path, package: &str| -> anyhow::Result<Command> {
            std::fs::create_dir_all(place).with_context(|| format!("creating {}", place.display()))?;
            javascript(place, package)?;
            let mut command = Command::new("node");
            command.arg(write(place, "flags.js", include_str!("peers/flags.js"))?);
            Ok(command)
        };
        Ok(match self {
            Self::Flagd if !has("go") => Err("there is no Go"),
            Self::Flagd => build(&place.join("flagd"))?.ok_or("this Go is too old for flagd"),
            Self::JavaScript | Self::OldJavaScript if !has("npm") => Err("there is no npm"),
            Self::JavaScript => Ok(node(&place.join("javascript"), "@openfeature/flagd-core@4.0.1")?),
            Self::OldJavaScript => Ok(node(
                &place.join("javascript-v1"),
                "@openfeature/flagd-core@1.3.0",
            )?),
            Self::Python if !has("python3") => Err("there is no Python"),
            Self::Python => {
                let mut command = Command::new(python(place, "openfeature-flagd-core==2.0.0")?);
                command.arg(write(place, "flags.py", include_str!("peers/flags.py"))?);
                Ok(command)
            }
        })
    }
}

/// Builds flagd's evaluator into a program that answers; `None` if this Go cannot.
fn build(place: &Path) -> anyhow::Result<Option<Command>> {
    const MODULE: &str = "module flags

go 1.25.0

require (
	github.com/open-feature/flagd/core v0.16.1
	go.uber.org/zap v1.27.1
)
";
    let program = place.join("flags");
    if !program.exists() {
        let version = Command::new("go")
            .args(["env", "GOVERSION"])
            .output()
            .context("asking Go")?;
        let version = String::from_utf8_lossy(&version.stdout);
        let minor = version
            .trim()
            .split('.')
            .nth(1)
            .and_then(|minor| minor.parse::<u32>().ok());
        if minor.is_none_or(|minor| minor < 25) {
            return Ok(None);
        }
        std::fs::create_dir_all(place).with_context(|| format!("creating {}", place.display()))?;
        write(place, "go.mod", MODULE)?;
        write(place, "main.go", include_str!("peers/flags.go"))?;
        for words in [&["mod", "tidy"][..], &["build", "-o", "flags", "."]] {
            let mut go = Command::new("go");
            go.args(words).current_dir(place).env("GOTOOLCHAIN", "local");
            quietly(&mut go, "building flagd's evaluator")?;
        }
    }
    Ok(Some(Command::new(program)))
}

pub(super) fn run(bench: &Bench, options: &[String]) -> anyhow::Result<Verdict> {
    let pairs = number(options, "--pairs")?.unwrap_or(PAIRS);
    let seed = number(options, "--seed")?.unwrap_or(1);
    let only = options.iter().find_map(|option| option.strip_prefix("--peer="));
    let place = bench.directory("flags")?;
    let (mut said, mut wrong) = (Vec::new(), Vec::new());
    let mut asked = 0;
    for (name, peer) in PEERS {
        if only.is_some_and(|only| only != *name) {
            continue;
        }
        let command = match peer.install(&place)? {
            Ok(command) => command,
            Err(why) => {
                said.push(format!("{name} skipped, {why}"));
                continue;
            }
        };
        let disagreements = compare(*peer, name, command, &place, pairs, seed)?;
        asked += 1;
        if disagreements.is_empty() {
            said.push(format!("{name} agrees on {pairs} pairs"));
        } else {
            let told = disagreements
                .iter()
                .take(TOLD_MAX)
                .cloned()
                .collect::<Vec<_>>()
                .join("\n");
            wrong.push(format!(
                "{name}: {} of {pairs} pairs differ\n{told}",
                disagreements.len()
            ));
        }
    }
    Ok(if !wrong.is_empty() {
        Verdict::Failed(wrong.join("\n"))
    } else if asked == 0 {
        Verdict::Skipped(said.join("; "))
    } else {
        Verdict::Passed(said.join("; "))
    })
}

/// The number behind `--name=`.
fn number(options: &[String], name: &str) -> anyhow::Result<Option<u64>> {
    let value = options
        .iter()
        .find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
    let number = value.map(str::parse).transpose();
    number.with_context(|| format!("{name}=N takes a whole number"))
}

/// Asks a peer; every disagreement in words.
fn compare(
    peer: Peer,
    name: &str,
    mut command: Command,
    place: &Path,
    pairs: u64,
    seed: u64,
) -> anyhow::Result<Vec<String>> {
    let mut disagreements = Vec::new();
    let mut definitions_left = pairs.div_ceil(CONTEXTS);
    let mut batch = 0;
    while definitions_left > 0 {
        let count = definitions_left.min(BATCH);
        definitions_left -= count;
        batch += 1;
        let now_s = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_secs();
        let mut generator = Generator::new(peer, seed.wrapping_mul(1_000_003).wrapping_add(batch));
        let questions: Vec<Question> = (0..count).map(|_| generator.question(CONTEXTS)).collect();
        let answers = ask(&mut command, place, name, &questions, now_s)?;
        for (question, answers) in questions.iter().zip(&answers) {
            disagreements.extend(differences(peer, question, answers, now_s)?);
        }
    }
    Ok(disagreements)
}

/// One run of the peer over some questions. They go through files, since two pipes that are both full would wait for
/// each other.
fn ask(
    command: &mut Command,
    place: &Path,
    name: &str,
    questions: &[Question],
    now_s: u64,
) -> anyhow::Result<Vec<Value>> {
    let lines: Vec<String> = questions
        .iter()
        .map(|question| question.line(now_s) + "\n")
        .collect();
    // Several may be asking at a time.
    let name = &format!("{name}-{}", std::process::id());
    let asked = write(place, &format!("{name}.asked"), &lines.concat())?;
    let answered: PathBuf = place.join(format!("{name}.answered"));
    let status = command
        .stdin(Stdio::from(File::open(&asked).context("opening the questions")?))
        .stdout(Stdio::from(
            File::create(&answered).context("making a place for answers")?,
        ))
        .status()
        .with_context(|| format!("running {name}"))?;
    anyhow::ensure!(status.success(), "{name}: {status}");
    let text = std::fs::read_to_string(&answered).context("reading the answers")?;
    for done in [asked, answered] {
        std::fs::remove_file(&done).with_context(|| format!("removing {}", done.display()))?;
    }
    let answers: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    let answers = answers.context("reading the answers")?;
    anyhow::ensure!(
        answers.len() == questions.len(),
        "{name} gave {} answers to {} questions",
        answers.len(),
        questions.len()
    );
    Ok(answers)
}

/// Where our answers to a question differ from a peer's.
fn differences(peer: Peer, question: &Question, answers: &Value, now_s: u64) -> anyhow::Result<Vec<String>> {
    let set = FlagSet::compile_as_flagd(&question.definitions, peer.bucketing());
    let mut differences = Vec::new();
    for (context, theirs) in question
        .contexts
        .iter()
        .zip(answers.as_array().into_iter().flatten())
    {
        let ours = match &set {
            Ok(set) => {
                let context = Context::try_from(context.clone()).map_err(|(_, why)| anyhow::anyhow!(why))?;
                evaluated(peer, set, question, &context, now_s)
            }
            Err(problems) => {
                json!({ "refused": problems.iter().map(ToString::to_string).collect::<Vec<_>>() })
            }
        };
        if !same(&ours, theirs) {
            differences.push(format!(
                "ours   {ours}\ntheirs {theirs}\nof     {} in {}\nfor    {context}\n",
                question.flag, question.definitions
            ));
        }
    }
    Ok(differences)
}

fn evaluated(peer: Peer, set: &FlagSet, question: &Question, context: &Context, now_s: u64) -> Value {
    let mut evaluation = set.evaluate(&question.flag, context, now_s);
    // flagd is asked for a value of any kind.
    if peer != Peer::Flagd {
        evaluation = evaluation.of_kind(match question.kind {
            "bool" => Kind::Bool,
            "string" => Kind::String,
            "number" => Kind::Number,
            _ => Kind::Object,
        });
    }
    json!({
        "value": evaluation.value,
        "variant": evaluation.variant,
        "reason": evaluation.reason.as_str(),
        "error": evaluation.error.map(|(code, _)| code.as_str()),
    })
}

/// Whether two answers say the same. Who fails says neither value nor variant that would count, and absent is null.
fn same(ours: &Value, theirs: &Value) -> bool {
    let kind = |answer: &Value, name: &str| !answer[name].is_null();
    if kind(ours, "refused") || kind(theirs, "refused") || kind(theirs, "crashed") {
        return false;
    }
    if ours["error"] != theirs["error"] || ours["reason"] != theirs["reason"] {
        return false;
    }
    if kind(ours, "error") {
        return true;
    }
    let value = |one: &Value, other: &Value| match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.to_bits() == other.to_bits(),
        _ => one == other,
    };
    value(&ours["value"], &theirs["value"]) && ours["variant"] == theirs["variant"]
}
