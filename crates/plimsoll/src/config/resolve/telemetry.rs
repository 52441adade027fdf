//! Where Plimsoll's own logs, traces and metrics go.

use super::{Scope, tls};
use crate::config::raw::{Log, Otlp, Telemetry};
use crate::config::value::address::Endpoint;
use crate::config::{OtlpConfig, TelemetryConfig};

pub(super) fn resolve(telemetry: Telemetry, scope: &mut Scope<'_>) -> TelemetryConfig {
    let Telemetry { otlp, log } = telemetry;
    let Log { format, level } = log.value;
    TelemetryConfig {
        otlp: otlp.value.map(|otlp| resolve_otlp(otlp, scope)),
        log_format: format.value,
        log_level: level.value,
    }
}

fn resolve_otlp(otlp: Otlp, scope: &mut Scope<'_>) -> OtlpConfig {
    let Otlp {
        endpoint,
        tls: tls_raw,
        send_every,
        metrics,
        headers_env,
    } = otlp;
    let right = "`http://127.0.0.1:4318` or `https://collector.example.com:4318`";
    let secure = match endpoint.value {
        Endpoint::Host { tls, .. } => tls,
        Endpoint::Unix(_) => {
            scope.problem(&endpoint.place, "OTLP is not sent over a Unix socket", right);
            false
        }
    };
    if tls_raw.value.is_some() && !secure {
        scope.problem(
            &tls_raw.place,
            "the endpoint is not `https`, so TLS is not spoken",
            "an `https://…` endpoint",
        );
    }
    let tls = tls::outbound(tls_raw.value, scope);
    OtlpConfig {
        endpoint: endpoint.value,
        tls: secure.then_some(tls),
        send_every: send_every.value,
        metrics: metrics.value,
        headers_env: headers_env.value.map(|name| name.0),
    }
}
