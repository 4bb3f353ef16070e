//! [`Routes`]: by which live peer the events of each author come first. The event of an author spreads
//! from the author's own station, so one and the same peer is usually the first to have it.

use std::collections::BTreeMap;

use constellation_shared::Pubkey;

use crate::plan::links::link::LinkId;

/// How many authors have a route at most. The events of any others are pushed by all peers.
const MOST: usize = 16_384;

/// How many times more often another peer must be first before it becomes the route, at most.
const MOST_VOTES: u8 = 2;

/// The route of one author.
#[derive(Debug, Clone, Copy)]
struct Route {
    link: LinkId,
    /// How far ahead of the others it is.
    votes: u8,
    /// The last other peer that brought an event of this author.
    other: Option<LinkId>,
}

/// By which live peer the events of each author come first.
#[derive(Debug, Default)]
pub(super) struct Routes {
    routes: BTreeMap<Pubkey, Route>,
}

impl Routes {
    /// The peer that is the route of this author.
    pub(super) fn of(&self, author: &Pubkey) -> Option<LinkId> {
        self.routes.get(author).map(|route| route.link)
    }

    /// Records that a peer brought an event of this author, and whether it was the first to do so.
    pub(super) fn bring(&mut self, author: Pubkey, link: LinkId, is_first: bool) {
        let has_room = self.routes.len() < MOST;
        let Some(route) = self.routes.get_mut(&author) else {
            if is_first && has_room {
                let route = Route {
                    link,
                    votes: 0,
                    other: None,
                };
                self.routes.insert(author, route);
            }
            return;
        };
        match (is_first, route.link == link) {
            (true, true) => route.votes = (route.votes + 1).min(MOST_VOTES),
            (true, false) if route.votes == 0 => {
                route.other = Some(route.link);
                route.link = link;
            }
            (true, false) => {
                route.votes -= 1;
                route.other = Some(link);
            }
            (false, false) => route.other = Some(link),
            (false, true) => {}
        }
    }

    /// Records that a peer is lost. Authors whose route it was get the route by another peer that
    /// brought their events, if there was one; else they have none. Returns these authors.
    pub(super) fn lose(&mut self, lost: LinkId) -> Vec<Pubkey> {
        let mut authors = Vec::new();
        self.routes.retain(|author, route| {
            if route.other == Some(lost) {
                route.other = None;
            }
            if route.link != lost {
                return true;
            }
            authors.push(*author);
            route.votes = 0;
            let other = route.other.take();
            route.link = other.unwrap_or(lost);
            other.is_some()
        });
        authors
    }

    /// The authors whose route is another peer than this one.
    pub(super) fn elsewhere(&self, link: LinkId) -> impl Iterator<Item = Pubkey> {
        let routes = self.routes.iter();
        routes
            .filter(move |(_, route)| route.link != link)
            .map(|(author, _)| *author)
    }

    /// The authors whose route is this peer.
    pub(super) fn by(&self, link: LinkId) -> impl Iterator<Item = Pubkey> {
        let routes = self.routes.iter();
        routes
            .filter(move |(_, route)| route.link == link)
            .map(|(author, _)| *author)
    }
}
