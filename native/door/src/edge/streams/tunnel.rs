//! WebSockets over HTTP/2.

use portcullis_engine::reason::Reason;

use super::Edge;

impl Edge {
    pub(super) fn open_tunnel(&mut self, index: u32) {
        let next = self.refuse(index, Reason::OriginConnect);
        self.act(index, next);
    }
}
