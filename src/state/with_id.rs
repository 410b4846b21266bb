//! Objects that are made once the id of their channel is known.

use std::{any::Any, fmt};

use crate::{
    id::ChannelId,
    state::dispatcher::{Dispatcher, boxed},
};

/// Makes an object that knows the id of its channel before its first callback.
///
/// It goes where an object goes: to `register`, `listen`, `connect`, `replace` and the testing kit. `make` is called once,
/// inside that call, and the channel has what `make` returns. If the call fails first, `make` is dropped.
///
/// ```
/// use asynchat::{ChannelId, Closed, Dispatcher, Reactor, Registry, Result, with_id};
/// use std::{cell::RefCell, collections::HashSet, net::UdpSocket, rc::Rc};
///
/// type Members = Rc<RefCell<HashSet<ChannelId>>>;
///
/// /// A member from the moment in which it is made.
/// struct Session {
///     id: ChannelId,
///     members: Members,
/// }
/// impl Session {
///     fn new(id: ChannelId, members: Members) -> Self {
///         members.borrow_mut().insert(id);
///         Self { id, members }
///     }
/// }
/// impl Dispatcher for Session {
///     fn handle_closed(&mut self, _: &mut Registry, _: Closed) {
///         self.members.borrow_mut().remove(&self.id);
///     }
/// }
///
/// # fn main() -> Result {
/// let members = Members::default();
/// let mut reactor = Reactor::new()?;
/// let of_session = Rc::clone(&members);
/// let session = with_id(move |id| Session::new(id, of_session));
/// let id = reactor.register(UdpSocket::bind("127.0.0.1:0")?, session)?;
/// assert!(members.borrow().contains(&id));
/// # reactor.close_all();
/// # reactor.run()?;
/// # assert!(members.borrow().is_empty());
/// # Ok(())
/// # }
/// ```
///
/// A panic of `make` leaves the call; the socket is closed then.
pub fn with_id<D: Dispatcher>(make: impl FnOnce(ChannelId) -> D + 'static) -> WithId {
    WithId(Some(Box::new(|id| boxed(make(id)))))
}

/// The object to be made; see [`with_id`]. It gets no callback itself.
#[must_use = "nothing is made until it is registered"]
pub struct WithId(Option<Make>);

type Make = Box<dyn FnOnce(ChannelId) -> Box<dyn Dispatcher>>;

impl Dispatcher for WithId {}

impl fmt::Debug for WithId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithId").finish_non_exhaustive()
    }
}

/// The object that `object` stands for, if it is still to be made.
pub(crate) fn made(object: &mut Box<dyn Dispatcher>, id: ChannelId) -> bool {
    let mut any = false;
    while let Some(WithId(make)) = (&mut **object as &mut dyn Any).downcast_mut()
        && let Some(make) = make.take()
    {
        *object = make(id);
        any = true;
    }
    any
}
