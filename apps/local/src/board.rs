//! The flag board: a page on which one sees a change of a flag run through the pipeline.
//!
//! Each flag is a lane from left to right: its switch in LaunchDarkly, the webhook, `store`'s
//! answer, the table's item, and what readers answer. The board is a spectator with a few buttons:
//! it flips flags and faults in the stand-in and otherwise only looks, from outside, at what every
//! program shows to everybody. It holds nothing that the pipeline needs, and knows of it only what
//! is public: the table's layout, the answers of `store`, `reader` and `prefork-server`, a `.env`.
//!
//! - `places` looks; `lane` and `state` are what was seen, as values; `follow` decides when to look;
//! - `faults` are what can be made to go wrong; `view` is the state in words, `page` in HTML;
//! - `routes` serves it. The script replaces the page's main part by what the server rendered, so
//!   that there is one rendering, with and without JavaScript.

mod env_file;
mod faults;
mod follow;
mod lane;
mod page;
mod places;
mod prefork;
mod routes;
mod state;
mod table;
mod view;

pub use places::{Functions, Places};

use crate::server::Server;
use state::State;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A running board. Dropping it ends it and closes its connections.
#[derive(Debug)]
pub struct Board {
    server: Server,
    /// Ends with the board.
    _following: JoinSet<()>,
}

/// What the board's requests share.
#[derive(Clone)]
struct Shared {
    places: Arc<Places>,
    state: watch::Sender<State>,
}

impl Board {
    /// Serves the board of these places on `listener`.
    pub fn start_on(listener: TcpListener, places: Places) -> std::io::Result<Self> {
        let shared = Shared { places: places.into(), state: watch::Sender::new(State::default()) };
        let server = Server::start(listener, routes::router(shared.clone()))?;
        let mut following = JoinSet::new();
        following.spawn(follow::follow(shared));
        Ok(Self { server, _following: following })
    }

    /// Its URL, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        crate::server::url(self.address())
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}
