//! Answers about datagrams that only some systems give: the error of an earlier datagram, and that one was cut.

use std::io;

use crate::net::errno::is_about_earlier_datagram;

/// Without a peer nobody can say which datagram the error is about: the call is made again, as other systems never answer it.
pub(crate) fn skip_earlier<T>(
    socket: &mio::net::UdpSocket,
    answer: io::Result<T>,
) -> io::Result<T> {
    match answer {
        Err(error) if is_about_earlier_datagram(&error) && socket.peer_addr().is_err() => {
            Err(io::ErrorKind::Interrupted.into())
        }
        answer => answer,
    }
}

/// A look takes the error of an earlier datagram, or leaves it to the call that receives, which a second look shows. `None` if
/// it was left.
#[cfg(any(windows, test))]
pub(crate) fn look_up_sender<T>(look: impl Fn() -> io::Result<T>) -> io::Result<Option<T>> {
    match look() {
        Err(earlier) if is_about_earlier_datagram(&earlier) => match look() {
            Err(again) if is_about_earlier_datagram(&again) => Ok(None),
            _ => Err(earlier),
        },
        looked => looked.map(Some),
    }
}

/// A datagram that is longer than the buffer is cut on every system; Windows says so by an error.
pub(crate) fn cut_datagram(read: io::Result<usize>, len: usize) -> io::Result<usize> {
    const WSAEMSGSIZE: i32 = 10040;
    match read {
        Err(error) if cfg!(windows) && error.raw_os_error() == Some(WSAEMSGSIZE) => Ok(len),
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WSAECONNRESET.
    fn unreachable_port() -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(10054))
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri knows no datagram sockets")]
    fn only_a_socket_with_a_peer_learns_of_an_earlier_datagram() {
        let bind = || mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (socket, peer) = (bind(), bind());
        let again = |answer| matches!(skip_earlier(&socket, answer), Err(error) if error.kind() == io::ErrorKind::Interrupted);
        assert_eq!(again(unreachable_port()), cfg!(windows));
        assert!(!again(Ok(7)) && !again(Err(io::ErrorKind::WouldBlock.into())));
        socket.connect(peer.local_addr().unwrap()).unwrap();
        assert!(!again(unreachable_port()));
    }

    #[test]
    fn the_error_of_an_earlier_datagram_is_never_taken_for_the_datagram_behind_it() {
        let would_block = || Err(io::ErrorKind::WouldBlock.into());
        for (looks, windows, elsewhere) in [
            ([Ok(7), unreachable_port()], "Some(7)", "Some(7)"),
            ([would_block(), Ok(7)], "WouldBlock", "WouldBlock"),
            // The first look took it.
            ([unreachable_port(), Ok(7)], "10054", "10054"),
            ([unreachable_port(), would_block()], "10054", "10054"),
            // It was left.
            ([unreachable_port(), unreachable_port()], "None", "10054"),
        ] {
            let looks = std::cell::RefCell::new(looks.into_iter());
            let seen = match look_up_sender(|| looks.borrow_mut().next().unwrap()) {
                Ok(sender) => format!("{sender:?}"),
                Err(error) => match error.raw_os_error() {
                    Some(code) => code.to_string(),
                    None => format!("{:?}", error.kind()),
                },
            };
            assert_eq!(seen, if cfg!(windows) { windows } else { elsewhere });
        }
    }
}
