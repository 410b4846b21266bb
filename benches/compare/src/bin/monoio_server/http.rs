//! `Hello, world!` over HTTP/1.1.

use std::cell::RefCell;

use crate::date::Date;
use crate::framed::{Found, Protocol};
use crate::requests::head;

thread_local!(static DATE: RefCell<Date> = RefCell::new(Date::new()));

pub(crate) struct Http;

impl Protocol for Http {
    fn answer(input: &[u8], _: usize, out: &mut Vec<u8>) -> Found {
        DATE.with_borrow_mut(|date| {
            date.renew();
            let mut taken = 0;
            while let Some(head) = head(&input[taken..]) {
                taken += head.len;
                out.extend_from_slice(b"HTTP/1.1 200 OK\r\nDate: ");
                out.extend_from_slice(date.text().as_bytes());
                out.extend_from_slice(b"\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n");
                if head.close {
                    out.extend_from_slice(b"Connection: close\r\n");
                }
                out.extend_from_slice(b"\r\nHello, world!");
                if head.close {
                    return Found { taken, last: true };
                }
            }
            Found { taken, last: false }
        })
    }
}
