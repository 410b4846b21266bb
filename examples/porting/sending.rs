//! Idioms of "Sending".

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fs::File,
    io,
    rc::Rc,
};

use asynchat::{
    Channel, ChannelId, ChatChannel, CoalescingProducer, Dispatcher, FilePart, HookedProducer,
    Produced, Producer, Registry, Result,
};

struct Client {
    path: String,
}

impl Dispatcher for Client {
    fn handle_connect(&mut self, channel: &mut Channel<'_>) -> Result {
        // region 14
        channel.push(format!("GET {} HTTP/1.0\r\n\r\n", self.path));
        // end
        Ok(()) // no buffer, no writable(), no handle_write()
    }
}

fn smtp_quit(chat: &mut ChatChannel<'_>) {
    // region 16
    chat.push("221 Bye\r\n");
    chat.close_when_done();
    // end
}

fn send_file(chat: &mut ChatChannel<'_>, path: &str) -> Result {
    // region 17
    let body = FilePart::new(File::open(path)?, ..)?; // first this, then the status line
    chat.push("HTTP/1.0 200 OK\r\n\r\n");
    chat.push_file(body);
    // end
    Ok(())
}

// region 18
fn send_logged(chat: &mut ChatChannel<'_>, page: impl Producer + 'static, log: Rc<Cell<u64>>) {
    let logged = HookedProducer::new(page, move |bytes| log.set(log.get() + bytes));
    chat.push_with_producer(CoalescingProducer::new(logged));
}
// end

// region 19
struct Follow {
    lines: Rc<RefCell<VecDeque<String>>>,
}

impl Producer for Follow {
    fn more(&mut self) -> io::Result<Produced> {
        Ok(match self.lines.borrow_mut().pop_front() {
            Some(line) => Produced::Data(line.into()),
            None => Produced::Pending,
        })
    }
}

fn publish(
    registry: &mut Registry,
    reader: ChannelId,
    lines: &RefCell<VecDeque<String>>,
    line: String,
) {
    lines.borrow_mut().push_back(line);
    if let Some(mut channel) = registry.channel(reader) {
        channel.touch(); // has the producer asked again
    }
}
// end

// region 20
fn call_in_order(chat: &mut ChatChannel<'_>, done: impl FnOnce(&mut Registry) + 'static) {
    chat.push_then("", |registry, _| {
        done(registry);
        Ok(())
    });
}
// end

fn traffic(registry: &Registry) -> (u64, u64) {
    // region 21
    let stats = registry.stats(); // per channel: ChannelInfo, from registry.channels()
    (stats.bytes_in, stats.bytes_out)
    // end
}

// region 23
fn send_file_logged(chat: &mut ChatChannel<'_>, body: FilePart, log: Rc<Cell<u64>>) {
    chat.push_then(body, move |_, sent| {
        log.set(log.get() + sent.bytes); // `sent.complete` is false if the client left
        Ok(())
    });
}
// end
