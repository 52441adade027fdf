//! E-mail, by SMTP.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use lettre::message::{Mailbox, header};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::telling::Telling;
use crate::config::{EmailConfig, MailSecurity};

/// The message: all of these alerts in one.
///
/// # Errors
/// An address of the configuration is none.
pub(super) fn message(email: &EmailConfig, tellings: &[Telling]) -> anyhow::Result<Message> {
    let mailbox = |text: &str| -> anyhow::Result<Mailbox> {
        text.parse()
            .with_context(|| format!("reading the address `{text}`"))
    };
    let subject = match tellings {
        [one] => format!("{}: {}", one.title(), one.sentence()),
        many => format!("{} and {} more", many[0].title(), many.len() - 1),
    };
    let texts = tellings
        .iter()
        .map(|telling| format!("{}\n{}", telling.title(), telling.text()));
    let mut message = Message::builder().from(mailbox(&email.from)?).subject(subject);
    for to in &email.to {
        message = message.to(mailbox(to)?);
    }
    Ok(message
        .header(header::ContentType::TEXT_PLAIN)
        .body(texts.collect::<Vec<_>>().join("\n"))?)
}

/// Sends a message once.
///
/// # Errors
/// The server cannot be reached, does not speak TLS as it is to, or does not take it.
pub(super) async fn send(
    email: &EmailConfig,
    ca: Option<&Path>,
    password: Option<&str>,
    message: Message,
    limit: Duration,
) -> anyhow::Result<()> {
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&email.host)
        .port(email.port)
        .timeout(Some(limit))
        .tls(security(email, ca)?);
    if let (Some(user), Some(password)) = (&email.user, password) {
        transport = transport.credentials(Credentials::new(user.clone(), password.to_owned()));
    }
    transport.build().send(message).await.context("sending by SMTP")?;
    Ok(())
}

fn security(email: &EmailConfig, ca: Option<&Path>) -> anyhow::Result<Tls> {
    let parameters = || -> anyhow::Result<TlsParameters> {
        let mut parameters = TlsParameters::builder(email.host.clone());
        if let Some(ca) = ca {
            let pem = std::fs::read(ca).with_context(|| format!("reading {}", ca.display()))?;
            parameters = parameters.add_root_certificate(Certificate::from_pem(&pem)?);
        }
        Ok(parameters.build_rustls()?)
    };
    Ok(match email.security {
        MailSecurity::Off => Tls::None,
        MailSecurity::Starttls => Tls::Required(parameters()?),
        MailSecurity::Tls => Tls::Wrapper(parameters()?),
    })
}
