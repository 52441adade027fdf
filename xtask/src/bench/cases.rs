//! What is measured: one entry per case.

/// What a client speaks to the proxy. To the origin, all proxies speak HTTP/1.1 on kept connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Http1,
    /// HTTP/1.1 over TLS 1.3.
    Tls,
    /// HTTP/2 in cleartext, by prior knowledge.
    Http2,
}

/// How load is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// wrk: so many connections, one request at a time on each.
    Wrk { connections: u32, body: usize },
    /// h2load: so many connections with so many streams each.
    H2load { connections: u32, streams: u32 },
}

/// What is done with a proxy in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// As much load as it takes.
    Saturate(Load),
    /// Nothing, and then many connections that rest after one request.
    Rest { connections: usize },
    /// Load, while the configuration is replaced again and again. Ours alone: what is asked is that nobody notices.
    Reload(Load),
}

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) client: Client,
    pub(crate) work: Work,
}

const fn get(connections: u32) -> Load {
    Load::Wrk { connections, body: 0 }
}

/// Every case, in the order of the report.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "get-64",
        title: "GET 1 KiB, 64 connections",
        client: Client::Http1,
        work: Work::Saturate(get(64)),
    },
    Case {
        name: "get-256",
        title: "GET 1 KiB, 256 connections",
        client: Client::Http1,
        work: Work::Saturate(get(256)),
    },
    Case {
        name: "post-64",
        title: "POST 4 KiB, 64 connections",
        client: Client::Http1,
        work: Work::Saturate(Load::Wrk {
            connections: 64,
            body: 4096,
        }),
    },
    Case {
        name: "tls-64",
        title: "TLS 1.3, GET 1 KiB, 64 connections",
        client: Client::Tls,
        work: Work::Saturate(get(64)),
    },
    Case {
        name: "h2",
        title: "HTTP/2 to HTTP/1, GET 1 KiB, 8 connections of 16 streams",
        client: Client::Http2,
        work: Work::Saturate(Load::H2load {
            connections: 8,
            streams: 16,
        }),
    },
    Case {
        name: "memory",
        title: "Memory at rest, 1,000 connections",
        client: Client::Http1,
        work: Work::Rest { connections: 1000 },
    },
    Case {
        name: "reload",
        title: "Reload under load, 64 connections",
        client: Client::Http1,
        work: Work::Reload(get(64)),
    },
];
