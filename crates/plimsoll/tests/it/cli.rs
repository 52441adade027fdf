//! What the verbs print, and how they end.

use crate::{expect, plimsoll, testdata};

#[track_caller]
fn prints(args: &[&str], file: &str) {
    let ran = plimsoll(args, b"");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    expect(&testdata("cli").join(file), &ran.out);
}

#[test]
fn output_is_as_written_down() {
    prints(&["--help"], "help.txt");
    prints(&["init"], "init.yaml");
    prints(&["init", "--full"], "init-full.yaml");
    prints(&["init", "--openapi", "cli/shop.openapi.yaml"], "shop.yaml");
    prints(&["schema"], "schema.json");
    prints(&["explain"], "explain.txt");
    prints(&["explain", "breaker-tripped"], "explain-breaker-tripped.txt");
    prints(&["check", "cli/shop.yaml", "--diff", "cli/init.yaml"], "diff.txt");
}

#[test]
fn openslo_is_read_and_written() {
    prints(
        &["slo", "lint", "openslo/right.yaml"],
        "../openslo/right.lint.txt",
    );
    prints(
        &["slo", "import", "openslo/right.yaml"],
        "../openslo/right.import.yaml",
    );
    prints(
        &[
            "slo",
            "export",
            "--format",
            "openslo",
            "--service",
            "shop",
            "openslo/ours.yaml",
        ],
        "../openslo/ours.export.yaml",
    );
    let ran = plimsoll(&["slo", "lint", "openslo/published.yaml"], b"");
    assert_eq!(ran.code, Some(2), "some of it is wrong");
    expect(&testdata("openslo/published.lint.txt"), &ran.out);
    let ran = plimsoll(&["slo", "import", "openslo/published.yaml"], b"");
    assert_eq!(
        (ran.code, &*ran.out),
        (Some(2), ""),
        "what is wrong is not guessed at"
    );
    assert!(
        ran.err
            .contains("there is another Service that is called `search`"),
        "{}",
        ran.err
    );
}

#[test]
fn a_check_says_what_a_reload_would_not_do() {
    let init = std::fs::read_to_string(testdata("cli/init.yaml")).unwrap() + "\ncores: 2\ndrain_max: 1s\n";
    let ran = plimsoll(&["check", "-", "--diff", "cli/init.yaml"], init.as_bytes());
    let expected = "~ drain_max: 30s -> 1s\n~ cores: 0 -> 2\ntakes effect at the next start: cores\n";
    assert!(ran.out.starts_with(expected), "{ran:?}");
}

#[test]
fn what_init_writes_passes_the_check() {
    for args in [
        &["init"][..],
        &["init", "--full"],
        &["init", "--openapi", "cli/shop.openapi.yaml"],
    ] {
        let written = plimsoll(args, b"");
        let checked = plimsoll(&["check", "-"], written.out.as_bytes());
        assert_eq!((checked.code, checked.err.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn completions_know_the_verbs() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = plimsoll(&["completions", shell], b"");
        assert_eq!(ran.code, Some(0));
        assert!(
            ran.out.contains("explain") && ran.out.contains("openapi"),
            "{shell}: {}",
            ran.out
        );
    }
}

#[test]
fn a_wrong_word_ends_with_2_and_says_what_is_right() {
    let cases = [
        (
            &["explain", "breaker-triped"][..],
            "plimsoll: `breaker-triped` is not a reason; right would be `breaker-tripped`\n",
        ),
        (
            &["explain", "x"],
            "plimsoll: `x` is not a reason; `plimsoll explain` lists them all\n",
        ),
        (
            &["check", "nowhere.yaml"],
            "plimsoll: reading the configuration nowhere.yaml: No such file or directory (os error 2)\n",
        ),
    ];
    for (args, said) in cases {
        let ran = plimsoll(args, b"");
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (Some(2), "", said)
        );
    }
    for args in [&["chek"][..], &["init", "--full", "--openapi", "x"], &[]] {
        let ran = plimsoll(args, b"");
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(2), ""),
            "{args:?}: {}",
            ran.err
        );
    }
}

#[test]
fn a_configuration_that_is_no_text_is_a_problem() {
    let ran = plimsoll(&["check", "-"], b"listeners: []\nup\xffstreams: []\n");
    assert_eq!(
        ran.err,
        "<stdin>:2:3: this byte is not UTF-8; right would be text in UTF-8\n1 problem\n"
    );
    let ran = plimsoll(&["check", "-"], &vec![b'#'; 2 << 20]);
    assert_eq!(
        ran.err,
        "<stdin>:1:1: the text is too long; right would be at most 1048576 bytes\n1 problem\n"
    );
}
