//! What somebody sees who tries it for the first time.

use std::process::Command;

use crate::world::busy;

#[test]
fn the_demo_tells_its_story() {
    let _busy = busy();
    let ran = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args([
            "demo",
            "--fast",
            "--for",
            "24s",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let (before, after) = told
        .split_once("The broker turns slow")
        .expect("the broker turns slow");
    // All are served before it, and hardly anybody within it.
    let well: Vec<&str> = before.lines().filter(|line| line.contains(" s   ")).collect();
    assert!(
        well.iter().any(|line| line.matches("100 %").count() == 3),
        "{told}"
    );
    assert!(after.contains("  PAGE    "), "{told}");
    for line in [
        "  change  desk-1 (desk to v2) gets 20 % (step 1 of 2)",
        "  change  desk-1 (desk to v2) is rolled back, because it is worse than what it was to replace (failures); ",
        "  change  desk-1 (desk to v2) is rolled back: nothing of it is left",
        "  change  desk-2 (desk to v3) gets 20 % (step 1 of 2)",
    ] {
        assert!(after.contains(line), "{line} is not in {told}");
    }
}
