//! Reads `testdata/framing.txt`. `cargo xtask conformance framing` plays the same script to other servers, and has this
//! file too.

/// One attack: what is sent, what must come back, and how many requests may reach the upstream.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) sends: Vec<Vec<u8>>,
    pub(crate) answers: Vec<String>,
    pub(crate) upstream: usize,
    pub(crate) stays_open: bool,
}

/// Reads the script: `== name`, `> bytes with escapes`, `< status reason`, `upstream N`, `open`.
pub(crate) fn cases(script: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in script
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case {
                name: name.to_owned(),
                sends: Vec::new(),
                answers: Vec::new(),
                upstream: 0,
                stays_open: false,
            });
            continue;
        }
        let case = cases.last_mut().expect("a script begins with a name");
        match line.split_once(' ') {
            Some((">", bytes)) => case.sends.push(unescape(bytes)),
            Some(("<", answer)) => case.answers.push(answer.to_owned()),
            Some(("upstream", count)) => case.upstream = count.parse().unwrap(),
            None if line == "open" => case.stays_open = true,
            _ => panic!("{line} is no line of a framing script"),
        }
    }
    cases
}

/// `\r \n \t \0 \\ \xNN`, and `\{3*text}` for repetition.
fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escaped = &rest[at + 1..];
        let (byte, length) = match escaped.as_bytes()[0] {
            b'r' => (b'\r', 1),
            b'n' => (b'\n', 1),
            b't' => (b'\t', 1),
            b'0' => (0, 1),
            b'x' => (u8::from_str_radix(&escaped[1..3], 16).unwrap(), 3),
            b'{' => {
                let end = escaped.find('}').expect("a repetition ends");
                let (count, piece) = escaped[1..end].split_once('*').expect("a repetition has a count");
                bytes.extend(unescape(piece).repeat(count.parse().unwrap()));
                rest = &escaped[end + 1..];
                continue;
            }
            byte => (byte, 1),
        };
        bytes.push(byte);
        rest = &escaped[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
