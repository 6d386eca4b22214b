//! What became of connections: they are tasks, and the client may be in the middle of something when they tell.
//!
//! So news only lies here, and the bell rings; whoever drives the client then calls [`crate::Client::serve_streams`],
//! when nobody holds it.

use std::cell::RefCell;
use std::rc::Rc;

use portcullis_reactor::Bell;

use super::link::News;

/// What connections have to tell, in order.
#[derive(Clone)]
pub(crate) struct Board {
    pub(crate) news: Rc<RefCell<Vec<News>>>,
    pub(crate) bell: Bell,
}

impl Board {
    pub(crate) fn tell(&self, news: News) {
        self.news.borrow_mut().push(news);
        self.bell.ring();
    }
}
