//! TLS that is spoken: towards those who call us, and by us to somebody.

use std::path::PathBuf;

use gateway::plan::{TlsClientPlan, TlsServerPlan};

use super::Scope;
use crate::config::problem::Place;
use crate::config::raw::OutboundTls;
use crate::config::raw::listener::TlsServer;
use crate::config::read::At;

/// The same for a stanza of its own; none of it is the public authorities.
pub(super) fn outbound(tls: Option<OutboundTls>, scope: &mut Scope<'_>) -> TlsClientPlan {
    let Some(OutboundTls {
        ca,
        certificate,
        key,
        server_name,
    }) = tls
    else {
        return TlsClientPlan::default();
    };
    client((ca, certificate, key), server_name.value, scope)
}

/// A file that may be named.
type File = At<Option<PathBuf>>;

/// Files must be there, and a certificate is of no use without its key.
pub(super) fn client(
    (ca, certificate, key): (File, File, File),
    server_name: Option<String>,
    scope: &mut Scope<'_>,
) -> TlsClientPlan {
    for file in [&ca, &certificate, &key] {
        if let Some(path) = &file.value {
            scope.readable(path, &file.place);
        }
    }
    let alone = |scope: &mut Scope<'_>, place: &Place, missing: &str| {
        scope.problem(
            place,
            format!("there is no `{missing}` to it"),
            "both `certificate` and `key`, or neither",
        );
    };
    match (&certificate.value, &key.value) {
        (Some(_), None) => alone(scope, &certificate.place, "key"),
        (None, Some(_)) => alone(scope, &key.place, "certificate"),
        (Some(_), Some(_)) | (None, None) => {}
    }
    TlsClientPlan {
        ca: ca.value,
        identity: certificate.value.zip(key.value),
        server_name,
    }
}

/// TLS that we terminate.
pub(super) fn server(tls: TlsServer, scope: &mut Scope<'_>) -> TlsServerPlan {
    let TlsServer {
        certificate,
        key,
        client_ca,
        client_required,
    } = tls;
    scope.readable(&certificate, &certificate.place);
    scope.readable(&key, &key.place);
    if let Some(path) = &client_ca.value {
        scope.readable(path, &client_ca.place);
    }
    if client_required.value && client_ca.is_none() {
        let wrong = "no authority says which client certificates are good";
        scope.problem(&client_required.place, wrong, "a `client_ca` beside it");
    }
    TlsServerPlan {
        certificate: certificate.value,
        key: key.value,
        client_ca: client_ca.value,
        client_required: client_required.value,
    }
}
