//! Who gets in, with what, and for how much.

use super::*;
use crate::access::{Digest, Kept, Role};

fn key(name: &str, role: Role) -> Key {
    Key {
        name: name.into(),
        role,
        kept: Kept::Digest(Digest::of(format!("plim_{name}").as_bytes())),
        expires: None,
    }
}

/// One of each role, and one that is over. The token of each is `plim_` and its name.
pub(super) fn keyed() -> Fake {
    let mut over = key("over", Role::Admin);
    over.expires = Some(Duration::from_secs(1));
    let keys = vec![
        key("viewer", Role::Viewer),
        key("operator", Role::Operator),
        key("admin", Role::Admin),
        over,
    ];
    Fake {
        keys: Mutex::new(keys),
        ..Fake::default()
    }
}

fn bearer(name: &str) -> String {
    format!("Authorization: Bearer plim_{name}\r\n")
}

#[tokio::test]
async fn with_keys_only_probes_and_the_way_in_go_without() {
    let (address, _) = start(keyed()).await;
    for (line, more, expected) in [
        ("GET /livez", "", 200),
        ("GET /readyz", "", 200),
        ("GET /login", "", 200),
        ("GET /assets/old.css", "", 404),
        ("GET /status", "", 401),
        ("GET /metrics", "Authorization: Bearer plim_admi\r\n", 401),
        ("GET /metrics", "Authorization: Basic plim_admin\r\n", 401),
        ("GET /metrics", "Authorization: plim_admin\r\n", 401),
        (
            "GET /metrics",
            "Authorization: Bearer plim_admin\r\nAuthorization: Bearer plim_admin\r\n",
            401,
        ),
        ("GET /metrics", "Authorization: Bearer plim_over\r\n", 401),
        ("GET /nothing", "", 401),
        ("GET /api/v1/openapi.json", "", 401),
        ("GET /livez/../status", "", 401),
        ("GET //livez", "", 401),
        ("GET /login/", "", 401),
        ("GET /%6civez", "", 401),
        ("POST /drain", "", 401),
        ("GET /metrics", "Authorization: Bearer plim_viewer\r\n", 200),
        ("GET /metrics", "authorization: bearer plim_viewer\r\n", 200),
    ] {
        let (status, head, body) = ask(address, line, more).await;
        assert_eq!(status, expected, "{line} {more}");
        assert_eq!(head.contains("www-authenticate: Bearer"), expected == 401);
        assert_eq!(
            body.contains("`over` has expired"),
            more.contains("plim_over"),
            "{body}"
        );
    }
    let elsewhere = "GET /livez HTTP/1.1\r\nHost: plimsoll.internal\r\nConnection: close\r\n\r\n";
    assert_eq!(
        send(address, elsewhere).await.0,
        200,
        "whoever has a token has a name of their own"
    );
}

#[tokio::test]
async fn each_role_may_what_it_may() {
    let (address, fake) = start(keyed()).await;
    let json = |body: &str| {
        format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let silence = json(r#"{ "objective": "checkout", "minutes": 5, "reason": "we know" }"#);
    // The reasons below are those of a body that says nothing: whoever gets so far was let in.
    for (line, body, statuses) in [
        ("GET /status", "", [200, 200, 200]),
        ("GET /api/v1/audit", "", [200, 200, 200]),
        ("GET /audit", "", [200, 200, 200]),
        ("POST /api/v1/silences", &*silence, [403, 201, 201]),
        ("POST /api/v1/corrections", "", [403, 403, 422]),
        ("DELETE /api/v1/corrections/one", "", [403, 403, 404]),
        ("POST /reload", "", [403, 200, 200]),
        ("POST /upgrade", "", [403, 403, 200]),
        ("POST /nothing", "", [403, 403, 404]),
        ("PUT /api/v1/silences", "", [403, 403, 405]),
        ("POST /drain", "", [403, 202, 202]),
    ] {
        for (name, expected) in ["viewer", "operator", "admin"].into_iter().zip(statuses) {
            let more = format!("{}{}", bearer(name), body.trim_end_matches("\r\n"));
            let request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n");
            let (status, _, body) = send(address, &request).await;
            assert_eq!(status, expected, "{name}: {line}: {body}");
            if status == 403 {
                assert!(body.contains(&format!("`{name}` is {name}.")), "{body}");
            }
        }
    }
    // And all of it is written down, under the name of whoever did it.
    let deeds = fake.record.read(|state| {
        let all = state
            .audit
            .all()
            .map(|deed| format!("{}: {}", deed.author, deed.did));
        all.collect::<Vec<_>>()
    });
    assert_eq!(deeds.len(), 7, "{deeds:?}");
    assert_eq!(
        deeds[..3],
        [
            "admin: drained this process",
            "operator: drained this process",
            "admin: asked for an upgrade of the program"
        ]
    );
    assert!(
        deeds[6].starts_with("operator: silenced checkout until 20"),
        "{deeds:?}"
    );
}

/// Sends a form as a browser does that has this session.
async fn form(address: SocketAddr, path: &str, cookie: &str, fields: &str) -> (u16, String, String) {
    let length = fields.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nOrigin: http://{address}\r\n\
         Cookie: {cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{fields}"
    );
    send(address, &request).await
}

/// Logs in; the cookie, and what the forms of that session carry.
async fn log_in(address: SocketAddr, name: &str) -> (String, String) {
    let (status, head, _) = form(
        address,
        "/login",
        "",
        &format!("token=plim_{name}&next=%2Fincidents%3Fhtml"),
    )
    .await;
    assert_eq!(status, 303, "{head}");
    assert!(head.contains("location: /incidents?html"), "{head}");
    let cookie = head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .unwrap();
    let port = address.port();
    assert!(
        cookie.starts_with(&format!("plimsoll-session-{port}=")),
        "{cookie}"
    );
    assert!(
        cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let (_, _, page) = ask(
        address,
        "GET /objectives/checkout?html",
        &format!("Cookie: {cookie}\r\n"),
    )
    .await;
    let csrf = page
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .unwrap_or_else(|| panic!("{page}"));
    (cookie, csrf.split('"').next().unwrap().to_owned())
}

#[tokio::test]
async fn a_browser_logs_in_works_and_leaves() {
    let (address, fake) = start(keyed()).await;
    let html = "Accept: text/html,*/*;q=0.8\r\n";
    let (status, head, _) = ask(address, "GET /incidents?a=b&c", html).await;
    assert_eq!(status, 303);
    assert!(
        head.contains("location: /login?next=%2Fincidents%3Fa%3Db%26c"),
        "{head}"
    );
    let (_, _, page) = ask(address, "GET /login?next=%2Fincidents%3Fa%3Db%26c", html).await;
    assert!(
        page.contains("name=\"next\" value=\"/incidents?a=b&amp;c\""),
        "{page}"
    );

    let (cookie, csrf) = log_in(address, "operator").await;
    let silence =
        format!("objective=checkout&minutes=30&reason=we+know&back=%2Fobjectives%2Fcheckout&csrf={csrf}");
    let (status, head, body) = form(address, "/silences", &cookie, &silence).await;
    assert_eq!(status, 303, "{body}");
    assert!(head.contains("location: /objectives/checkout"), "{head}");
    let (author, minutes) = fake.record.read(|state| {
        let silence = state.silences.all().next().unwrap();
        (
            silence.author.to_string(),
            (silence.until - silence.from) / 60_000,
        )
    });
    assert_eq!((&*author, minutes), ("operator", 30));
    // What is not right is said on a page.
    let wrong = format!("objective=chekout&minutes=30&reason=we+know&csrf={csrf}");
    let (status, head, body) = form(address, "/silences", &cookie, &wrong).await;
    assert!(status == 422 && head.contains("text/html"), "{head}");
    assert!(
        body.contains("and nothing that is watched, is called `chekout`."),
        "{body}"
    );

    let (status, _, _) = form(address, "/logout", &cookie, &format!("csrf={csrf}")).await;
    assert_eq!(status, 303);
    assert_eq!(
        ask(address, "GET /status", &format!("Cookie: {cookie}\r\n"))
            .await
            .0,
        401
    );
}

#[tokio::test]
async fn a_session_is_used_by_its_own_pages_only() {
    let (address, fake) = start(keyed()).await;
    let (cookie, csrf) = log_in(address, "admin").await;
    let (_, others) = log_in(address, "admin").await;
    for (path, fields) in [
        ("/silences", "objective=checkout&minutes=30&reason=x".to_owned()),
        (
            "/silences",
            "objective=checkout&minutes=30&reason=x&csrf=".to_owned(),
        ),
        (
            "/silences",
            format!("objective=checkout&minutes=30&reason=x&csrf={others}"),
        ),
        ("/logout", String::new()),
    ] {
        let (status, _, body) = form(address, path, &cookie, &fields).await;
        assert_eq!(status, 403, "{path} {fields}: {body}");
    }
    for (line, more, expected) in [
        ("POST /drain", "", 403),
        ("POST /drain", "X-CSRF-Token: x\r\n", 403),
        ("POST /api/v1/silences", "", 403),
        ("GET /api/v1/silences", "", 200),
        (
            "POST /api/v1/silences",
            &*format!("X-CSRF-Token: {csrf}\r\n"),
            422,
        ),
        (
            "POST /api/v1/silences",
            &*format!("X-CSRF-Token: {csrf}\r\nOrigin: http://evil.example\r\n"),
            403,
        ),
    ] {
        let (status, _, body) = ask(address, line, &format!("Cookie: a=b; {cookie}\r\n{more}")).await;
        assert_eq!(status, expected, "{line} {more}: {body}");
    }
    assert!(!fake.draining.load(Relaxed));
    assert_eq!(fake.record.read(|state| state.silences.all().count()), 0);
    // Its key is taken away.
    fake.keys.lock().unwrap().retain(|key| &*key.name != "admin");
    assert_eq!(
        ask(address, "GET /status", &format!("Cookie: {cookie}\r\n"))
            .await
            .0,
        401
    );
}

#[tokio::test]
async fn nobody_is_led_away_by_logging_in() {
    let (address, _) = start(keyed()).await;
    for next in [
        "https%3A%2F%2Fevil.example",
        "%2F%2Fevil.example",
        "%2F%5Cevil.example",
        "%2Fa%0D%0ASet-Cookie%3A+b%3Dc",
    ] {
        let (status, head, _) = form(address, "/login", "", &format!("token=plim_admin&next={next}")).await;
        assert_eq!(status, 303);
        assert!(head.contains("location: /\r\n"), "{next}: {head}");
        let (_, _, page) = ask(address, &format!("GET /login?next={next}"), "").await;
        assert!(page.contains("name=\"next\" value=\"/\""), "{page}");
    }
}

#[tokio::test]
async fn guessing_is_slow() {
    let (address, fake) = start(keyed()).await;
    let mut limited = 0;
    for number in 0..12 {
        let (status, head, _) = if number % 2 == 0 {
            form(address, "/login", "", "token=guess").await
        } else {
            ask(address, "GET /status", "Authorization: Bearer guess\r\n").await
        };
        match status {
            303 => assert!(head.contains("location: /login?again=&next=%2F"), "{head}"),
            429 => {
                limited += 1;
                assert!(head.contains("retry-after: "), "{head}");
            }
            status => assert_eq!(status, 401),
        }
    }
    assert_eq!(limited, 2);
    assert_eq!(form(address, "/login", "", "token=plim_admin").await.0, 429);
    assert_eq!(fake.record.read(|state| state.audit.all().count()), 0);
}

#[tokio::test]
async fn an_open_port_without_a_key_is_refused() {
    let at = |listen: &str, asks_for_keys| AdminConfig {
        listen: listen.parse().unwrap(),
        asks_for_keys,
        tls: None,
    };
    for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9900"] {
        let refused = bind(at(open, false), None).await.unwrap_err();
        assert!(matches!(refused, AdminError::Open(_)), "{open}");
        assert!(refused.to_string().contains("admin.tokens"));
    }
    assert!(bind(at("0.0.0.0:0", true), None).await.is_ok());
}

/// A reload takes the keys away, and the address stays.
#[tokio::test]
async fn an_open_port_that_loses_its_last_key_is_shut() {
    let (address, fake) = start_at("0.0.0.0:0", keyed()).await;
    assert_eq!(ask(address, "GET /status", &bearer("admin")).await.0, 200);
    fake.keys.lock().unwrap().clear();
    for line in ["GET /status", "POST /drain"] {
        let (status, _, body) = ask(address, line, &bearer("admin")).await;
        assert!(status == 403 && body.contains("is shut"), "{body}");
    }
    assert_eq!(ask(address, "GET /livez", "").await.0, 200);
}

/// Everything that has been sent up to and with `last`.
async fn heard(stream: &mut TcpStream, last: &str) -> String {
    let mut all = Vec::new();
    let mut some = [0; 4_096];
    while !String::from_utf8_lossy(&all).contains(last) {
        let read = stream.read(&mut some).await.unwrap();
        assert!(read > 0, "it ended: {}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&some[..read]);
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn verdicts_come_until_either_side_goes() {
    let (address, fake) = start(Fake::default()).await;
    let open = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = "GET /api/v1/stream?objective=checkout HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let first = heard(&mut stream, "event: judged").await;
        assert!(first.contains("content-type: text/event-stream"), "{first}");
        assert!(
            first.contains("retry: 1000\n\nevent: verdict\ndata: {"),
            "{first}"
        );
        stream
    };
    let mut one = open().await;
    let mut burning = sample::burning();
    burning.verdict.as_of.0 += 5;
    fake.judged.send_replace(Arc::new(Judged::of(&[burning])));
    let next = heard(&mut one, "\"2026-11-23T20:10:04.000Z\"").await;
    assert_eq!(next.matches("event: verdict").count(), 0, "{next}");

    let mut all = vec![one];
    while all.len() < stream::STREAMS_MAX {
        all.push(open().await);
    }
    let (status, head, _) = ask(address, "GET /api/v1/stream", "").await;
    assert!(status == 503 && head.contains("retry-after: 10"), "{head}");
    // One goes, and its seat is free.
    all.pop();
    while fake.judged.receiver_count() >= stream::STREAMS_MAX {
        tokio::task::yield_now().await;
    }
    all.push(open().await);
    let (status, _, body) = ask(address, "GET /api/v1/stream?objective=nothing", "").await;
    assert_eq!(status, 404, "{body}");
    // The port is closed: each hears the end.
    fake.closed.send_replace(true);
    for mut stream in all {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
    }
}
