//! The way in for people: a token is shown once, and a session is kept in a cookie.
//!
//! The cookie is for this port alone, as far as cookies can tell: its name has the port, since cookies know hosts only.
//! It goes along when a link from elsewhere leads here, as those of alerts do, and with nothing else from elsewhere.

use http::StatusCode;
use http::request::Parts;

use super::answer::{self, Answer, redirect};
use super::forms::{self, Form};
use super::{AdminBackend, Serving, guard};
use crate::access::{Caller, Refused, SESSION};
use crate::dashboard::login_page;
use crate::record::Said;

impl<B: AdminBackend> Serving<B> {
    /// The name of the cookie.
    pub(super) fn session_name(&self) -> String {
        // Over TLS no host but this one can set it, not even one of the same domain.
        let prefix = if self.tls.is_some() { "__Host-" } else { "" };
        format!("{prefix}plimsoll-session-{}", self.address.port())
    }

    /// Shows the form, with what was wrong before.
    pub(super) fn login(&self, query: &str) -> Answer {
        if self.backend.keys().is_empty() {
            return redirect("/");
        }
        let query = Form::read(query.as_bytes());
        let next = query.field("next").filter(|next| forms::is_local(next));
        let wrong = query
            .field("again")
            .map(|_| "That is no token, or it has expired.");
        answer::html(login_page(wrong, next.unwrap_or("/")))
    }

    /// Takes what was filled in.
    pub(super) fn log_in(&self, form: &Form, from: std::net::IpAddr) -> Answer {
        let next = form
            .field("next")
            .filter(|next| forms::is_local(next))
            .unwrap_or("/");
        let token = form.field("token").unwrap_or_default().trim();
        let opened = self
            .door
            .log_in(&self.backend.keys(), self.now(), from, token.as_bytes());
        match opened {
            Ok((caller, id)) => {
                self.did(&caller, format!("logged in from {from}"));
                let mut answer = redirect(next);
                answer.set_cookie(&self.cookie(id.cookie(), SESSION.as_secs()));
                answer
            }
            Err(Refused::TooOften(wait)) => guard::too_often(wait),
            Err(_) => redirect(&format!(
                "/login?{}",
                forms::written(&[("again", ""), ("next", next)])
            )),
        }
    }

    pub(super) fn log_out(&self, head: &Parts, caller: &Caller) -> Answer {
        if let Some(id) = guard::cookie(&head.headers, &self.session_name()) {
            self.door.log_out(id);
            self.did(caller, "logged out".to_owned());
        }
        let mut answer = redirect("/login");
        answer.set_cookie(&self.cookie("", 0));
        answer
    }

    fn cookie(&self, value: &str, seconds: u64) -> String {
        let secure = if self.tls.is_some() { "; Secure" } else { "" };
        let name = self.session_name();
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }

    /// Remembers what somebody did that is no fact of its own.
    pub(super) fn did(&self, caller: &Caller, what: String) {
        let author = caller.author(None);
        let said = Said::Operated { what };
        self.backend
            .record()
            .say_for(&author, self.backend.wall(), None, said);
    }
}

/// A form that nobody may send.
pub(super) fn no_form() -> Answer {
    answer::problem(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "That is no form",
        "Send it as a browser does, or ask the API.",
    )
}
