//! What it takes to be there and do nothing.

use crate::world::Plimsoll;

/// Half as much again as was measured. If limits wrote their tables before anybody calls, it would be ten times that.
const ANONYMOUS_MAX: u64 = 14 << 10;

/// Fifty routes with what most have: deadline, retries and a limit of their own for 100,000 callers.
fn many_routes() -> String {
    let route = |number: u32| {
        format!(
            "      - name: service-{number}
        path: /service-{number}/{{id}}
        upstream: service
        retry: on
        rate_limits: [{{ name: limit-{number}, key: [client-address], rate: 100/s }}]
"
        )
    };
    let routes: String = (0..50).map(route).collect();
    format!(
        "listeners:
  - name: ingress
    listen: 127.0.0.1:0
    routes:
{routes}upstreams: [{{ name: service, endpoints: ['http://127.0.0.1:9'], health: off }}]
admin: {{ listen: '127.0.0.1:0' }}
"
    )
}

#[test]
fn memory_at_rest_is_what_is_used() {
    let plimsoll = Plimsoll::configured(&many_routes());
    let (anonymous, huge) = plimsoll.process.anonymous();
    let by_system = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    if by_system.is_ok_and(|setting| setting.contains("[always]")) {
        // Nobody asked for these, and nothing but the system's setting keeps them away.
        assert!(
            anonymous - huge < ANONYMOUS_MAX,
            "{anonymous} KiB, {huge} KiB of it huge"
        );
    } else {
        assert_eq!(huge, 0, "huge pages were asked for");
        assert!(anonymous < ANONYMOUS_MAX, "{anonymous} KiB");
    }
}
