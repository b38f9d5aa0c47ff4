//! What can be made to go wrong with one switch, as settings of the stand-in.
//!
//! Whether a fault is on is read from the stand-in, never remembered: it can be told the same by
//! other means.

use crate::standin::{Endpoint, Misbehaviour, Standin, WebhookMode};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    StaleAnswers,
    LostWebhooks,
    ForgedWebhooks,
    LaunchDarklyDown,
}

impl Fault {
    pub(super) const ALL: [Self; 4] =
        [Self::StaleAnswers, Self::LostWebhooks, Self::ForgedWebhooks, Self::LaunchDarklyDown];

    /// Its part of a path.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::StaleAnswers => "stale-answers",
            Self::LostWebhooks => "lost-webhooks",
            Self::ForgedWebhooks => "forged-webhooks",
            Self::LaunchDarklyDown => "launchdarkly-down",
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::StaleAnswers => "Stale answers",
            Self::LostWebhooks => "Lost webhooks",
            Self::ForgedWebhooks => "Forged webhooks",
            Self::LaunchDarklyDown => "LaunchDarkly down",
        }
    }

    /// What it does, for who wonders.
    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::StaleAnswers => {
                "LaunchDarkly serves the payload of one change ago, and store asks again for 5 seconds."
            }
            Self::LostWebhooks => "Webhooks are never sent, so that store does not hear of a change.",
            Self::ForgedWebhooks => "Webhooks are signed with another secret, and store refuses them.",
            Self::LaunchDarklyDown => "Polling and streaming answer 503, and store leaves the table as it is.",
        }
    }

    /// Whether it is on.
    pub(super) fn is_on(self, standin: &Standin) -> bool {
        match self.webhook_mode() {
            Some(mode) => standin.webhook_mode() == mode,
            None => self.misbehaviours().iter().all(|one| standin.misbehaviours().contains(one)),
        }
    }

    /// Turns it on or off.
    pub(super) fn set(self, standin: &Standin, on: bool) {
        if self.is_on(standin) == on {
            return;
        }
        if let Some(mode) = self.webhook_mode() {
            standin.set_webhook_mode(if on { mode } else { WebhookMode::Signed });
        }
        for misbehaviour in self.misbehaviours() {
            if on { standin.misbehave(misbehaviour) } else { standin.stop_misbehaving(&misbehaviour) }
        }
        if on && self == Self::LaunchDarklyDown {
            standin.close_streams();
        }
    }

    fn webhook_mode(self) -> Option<WebhookMode> {
        match self {
            Self::LostWebhooks => Some(WebhookMode::Off),
            Self::ForgedWebhooks => Some(WebhookMode::WrongSecret),
            Self::StaleAnswers | Self::LaunchDarklyDown => None,
        }
    }

    fn misbehaviours(self) -> Vec<Misbehaviour> {
        match self {
            Self::StaleAnswers => vec![Misbehaviour::stale(1)],
            Self::LaunchDarklyDown => {
                [Endpoint::Polling, Endpoint::Stream].map(|at| Misbehaviour::status(503).at(at)).into()
            }
            Self::LostWebhooks | Self::ForgedWebhooks => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standin::StandinOptions;

    #[tokio::test]
    async fn every_fault_goes_on_and_off_and_those_of_the_webhook_replace_each_other() {
        let standin = Standin::start(StandinOptions::default()).await.unwrap();
        let on = || Fault::ALL.into_iter().filter(|fault| fault.is_on(&standin)).collect::<Vec<_>>();
        assert_eq!(on(), []);
        for fault in Fault::ALL {
            fault.set(&standin, true);
            fault.set(&standin, true);
        }
        assert_eq!(on(), [Fault::StaleAnswers, Fault::ForgedWebhooks, Fault::LaunchDarklyDown]);
        Fault::LostWebhooks.set(&standin, false);
        assert_eq!(on().len(), 3, "turning off what is off changes nothing");
        for fault in Fault::ALL {
            fault.set(&standin, false);
        }
        assert_eq!((on(), standin.misbehaviours()), (vec![], vec![]));
        assert_eq!(standin.webhook_mode(), WebhookMode::Signed);
    }
}
