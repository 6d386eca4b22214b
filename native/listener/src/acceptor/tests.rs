//! Connections over the loopback, to an acceptor of each test's own.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddrV4, TcpStream};
use std::time::Instant;

use portcullis_reactor::epoll::block_on;

use super::*;

const TIMEOUT: Duration = Duration::from_millis(400);

struct Stand {
    acceptor: Acceptor,
    address: SocketAddr,
}

fn stand(bounds: Bounds) -> Stand {
    let acceptor = Acceptor::default();
    acceptor.bound(bounds);
    let address = acceptor.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
    Stand { acceptor, address }
}

fn generous() -> Bounds {
    Bounds { hello_timeout: TIMEOUT, ..Bounds::default() }
}

impl Stand {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("an open socket");
        stream
    }

    fn greet(&self) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(&greeting()).expect("an open socket");
        stream
    }

    fn refused(&self, refusal: Refusal) -> u64 {
        self.acceptor.figures().refused(refusal)
    }

    fn until(&self, what: impl Fn(&Figures) -> bool) {
        let begun = Instant::now();
        while !what(&self.acceptor.figures()) {
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", self.acceptor.figures());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A ClientHello for `a.test` in one record, made by hand: version 1.2, one cipher suite.
fn greeting() -> Vec<u8> {
    let name = b"\0\0\0\x0b\0\x09\0\0\x06a.test";
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 0x01, 1, 0, 0, name.len() as u8], name].concat();
    let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, message.len() as u8][..], &message].concat()
}

/// The same in records of one byte.
fn crumbled() -> Vec<u8> {
    greeting()[5..].iter().flat_map(|&byte| [22, 3, 1, 0, 1, byte]).collect()
}

/// Takes so many connections out of an inbox.
fn take(inbox: Inbox, count: usize) -> (Vec<Accepted>, Inbox) {
    block_on(async move {
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.push(inbox.next().await);
        }
        (taken, inbox)
    })
}

/// What of a connection is left to be read by whoever serves it.
fn left_in(accepted: Accepted) -> Vec<u8> {
    let mut stream = TcpStream::from(accepted.fd);
    stream.set_nonblocking(false).expect("an open socket");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("an open socket");
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..count]);
    }
    bytes
}

/// Everything until the other side closed, however.
fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("it was not closed: {error}"),
        _ => bytes,
    }
}

#[test]
fn hands_over_what_it_learned_and_consumes_nothing() {
    let stand = stand(generous());
    let inbox = stand.acceptor.register();
    let client = stand.greet();
    let (mut taken, _inbox) = take(inbox, 1);
    let accepted = taken.remove(0);
    assert_eq!(accepted.address, client.local_addr().unwrap());
    assert_eq!(accepted.hello.server_name.as_deref(), Some("a.test"));
    assert!(accepted.hello.ja4.starts_with("t12d010100_"));
    assert_eq!(left_in(accepted), greeting());
}

#[test]
fn waits_for_a_greeting_that_comes_byte_by_byte() {
    let stand = stand(Bounds { hello_timeout: Duration::from_secs(5), ..generous() });
    let inbox = stand.acceptor.register();
    let mut clients = Vec::new();
    for bytes in [greeting(), crumbled()] {
        let mut client = stand.connect();
        client.set_nodelay(true).unwrap();
        for byte in &bytes {
            client.write_all(&[*byte]).unwrap();
            std::thread::sleep(Duration::from_micros(300));
        }
        clients.push((client, bytes));
    }
    let (taken, _inbox) = take(inbox, 2);
    for accepted in taken {
        let sent = clients.iter().find(|(client, _)| client.local_addr().unwrap() == accepted.address).unwrap();
        assert_eq!(accepted.hello.server_name.as_deref(), Some("a.test"));
        // The low-water mark is as it was: a single byte is told of.
        assert_eq!(left_in(accepted), sent.1);
    }
}

/// However finely it drips, a connection is looked at a bounded number of times.
#[test]
fn a_dripping_client_costs_little() {
    let stand = stand(Bounds { hello_timeout: Duration::from_secs(30), ..generous() });
    let _inbox = stand.acceptor.register();
    let mut client = stand.connect();
    client.set_nodelay(true).unwrap();
    // A message of 4 KiB in records of one byte, 600 of them.
    let message = [&[1, 0, 16, 0][..], &[0; 596]].concat();
    let drip: Vec<u8> = message.iter().flat_map(|&byte| [22, 3, 1, 0, 1, byte]).collect();
    let before = thread_cpu();
    for byte in drip {
        client.write_all(&[byte]).unwrap();
        std::thread::sleep(Duration::from_micros(100));
    }
    let cost = thread_cpu() - before;
    assert!(cost < Duration::from_millis(50), "{cost:?} for 3,600 bytes");
}

/// CPU time of all threads called `acceptor`: other tests' acceptors wait.
fn thread_cpu() -> Duration {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        let Some((name, rest)) = stat.rsplit_once(") ") else { continue };
        if name.ends_with("(acceptor") {
            ticks += rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>();
        }
    }
    // SAFETY: a number of the system.
    let a_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Duration::from_millis(ticks * 1000 / u64::try_from(a_second).unwrap())
}

#[test]
fn closes_and_counts_by_kind() {
    let stand = stand(generous());
    let inbox = stand.acceptor.register();
    let mut silent = stand.connect();
    let mut half = stand.connect();
    half.write_all(&greeting()[..20]).unwrap();

    let mut plain = stand.connect();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let answer = String::from_utf8(until_closed(&mut plain)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer}");

    let mut garbage = stand.connect();
    garbage.write_all(b"\x16\x02nonsense").unwrap();
    assert_eq!(until_closed(&mut garbage), b"");
    let mut large = stand.connect();
    large.write_all(&[22, 3, 1, 0x3f, 0xff, 1, 0, 0x80, 0]).unwrap();
    assert_eq!(until_closed(&mut large), b"");
    let mut gone = stand.connect();
    gone.write_all(&greeting()[..20]).unwrap();
    gone.shutdown(Shutdown::Write).unwrap();
    assert_eq!(until_closed(&mut gone), b"");
    drop(stand.connect());

    // Meanwhile others are served.
    let served = stand.greet();
    let (taken, _inbox) = take(inbox, 1);
    assert_eq!(taken[0].address, served.local_addr().unwrap());
    assert_eq!(until_closed(&mut silent), b"");
    assert_eq!(until_closed(&mut half), b"");
    stand.until(|figures| figures.open == 1 && figures.pending == 0);
    for (refusal, count) in [
        (Refusal::PlainHttp, 1),
        (Refusal::Garbage, 1),
        (Refusal::Oversize, 1),
        (Refusal::Gone, 2),
        (Refusal::Timeout, 2),
    ] {
        assert_eq!(stand.refused(refusal), count, "{refusal:?}: {:?}", stand.acceptor.figures());
    }
}

#[test]
fn bounds_connections_of_an_address_until_they_are_closed() {
    let stand = stand(Bounds { per_address: 2, ..generous() });
    let inbox = stand.acceptor.register();
    let _clients = [stand.greet(), stand.greet()];
    let (mut taken, inbox) = take(inbox, 2);
    assert_eq!(until_closed(&mut stand.greet()), b"");
    assert_eq!(stand.refused(Refusal::PerAddress), 1);
    taken.pop();
    let _third = stand.greet();
    let (third, _inbox) = take(inbox, 1);
    assert_eq!(stand.acceptor.figures().open, 2);
    drop((taken, third));
    stand.until(|figures| figures.open == 0);
}

#[test]
fn bounds_connections_in_all() {
    let stand = stand(Bounds { max: 1, ..generous() });
    let inbox = stand.acceptor.register();
    let _client = stand.greet();
    let (_taken, _inbox) = take(inbox, 1);
    assert_eq!(until_closed(&mut stand.greet()), b"");
    assert_eq!(stand.refused(Refusal::Max), 1);
}

#[test]
fn of_too_many_that_say_nothing_the_oldest_gives_way() {
    let stand = stand(Bounds { handshakes: 3, hello_timeout: Duration::from_secs(30), ..generous() });
    let inbox = stand.acceptor.register();
    let mut silent: Vec<_> = (0..5)
        .map(|count| {
            let stream = stand.connect();
            stand.until(|figures| figures.accepted == count + 1);
            stream
        })
        .collect();
    assert_eq!(until_closed(&mut silent[0]), b"");
    assert_eq!(until_closed(&mut silent[1]), b"");
    // One of them speaks after all.
    silent[4].write_all(&greeting()).unwrap();
    let (taken, _inbox) = take(inbox, 1);
    assert_eq!(taken[0].address, silent[4].local_addr().unwrap());
    stand.until(|figures| figures.pending == 2);
    assert_eq!(stand.refused(Refusal::Handshakes), 2);
}

#[test]
fn hands_to_the_thread_with_the_fewest() {
    let stand = stand(generous());
    let inboxes = [stand.acceptor.register(), stand.acceptor.register()];
    let _clients: Vec<_> = (0..6).map(|_| stand.greet()).collect();
    stand.until(|figures| figures.handed == 6);
    let [first, second] = inboxes;
    let (of_first, first) = take(first, 3);
    let (of_second, second) = take(second, 3);
    // Two of the first's are closed: the next two are its.
    drop(of_first);
    let _more: Vec<_> = (0..2).map(|_| stand.greet()).collect();
    stand.until(|figures| figures.handed == 8);
    assert_eq!(take(first, 2).0.len(), 2);
    drop((of_second, second));
}

#[test]
fn what_lies_in_an_inbox_that_goes_is_the_others() {
    let stand = stand(generous());
    let (first, second) = (stand.acceptor.register(), stand.acceptor.register());
    let clients: Vec<_> = (0..6).map(|_| stand.greet()).collect();
    stand.until(|figures| figures.handed == 6);
    first.leave();
    let (taken, second) = take(second, 6);
    let mut addresses: Vec<_> = taken.iter().map(|accepted| accepted.address).collect();
    let mut expected: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
    addresses.sort_unstable();
    expected.sort_unstable();
    assert_eq!(addresses, expected);
    // The last one that leaves keeps what it was handed, and nothing more is accepted.
    let _late = stand.greet();
    stand.until(|figures| figures.handed == 7);
    second.leave();
    let (kept, second) = take(second, 1);
    let _waits = stand.greet();
    drop((kept, second));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(stand.acceptor.figures().accepted, 7);
    // Until somebody comes.
    let (taken, _third) = take(stand.acceptor.register(), 1);
    assert_eq!(taken.len(), 1);
}

#[test]
fn a_dropped_inbox_leaves_its_connections_to_the_next() {
    let stand = stand(generous());
    let only = stand.acceptor.register();
    let _clients = [stand.greet(), stand.greet()];
    stand.until(|figures| figures.handed == 2);
    drop(only);
    assert_eq!(stand.acceptor.figures().waiting, 2);
    let (taken, _inbox) = take(stand.acceptor.register(), 2);
    assert_eq!(taken.len(), 2);
    assert_eq!(stand.acceptor.figures().open, 2);
}

/// Threads that come and go while clients connect: every one of them is handed to somebody.
#[test]
fn loses_nobody_while_threads_come_and_go() {
    const CLIENTS: usize = 400;
    let stand = stand(Bounds { hello_timeout: Duration::from_secs(30), ..generous() });
    let steady = stand.acceptor.register();
    let acceptor = stand.acceptor.clone();
    let (done, finished) = mpsc::channel::<()>();
    let coming_and_going = std::thread::spawn(move || {
        let mut served = Vec::new();
        while finished.try_recv().is_err() {
            let inbox = acceptor.register();
            std::thread::sleep(Duration::from_millis(2));
            let (taken, inbox) = block_on(async move {
                let mut taken = Vec::new();
                let task = portcullis_reactor::sleep(Duration::from_millis(2));
                take_until(&inbox, task, &mut taken).await;
                (taken, inbox)
            });
            served.extend(taken);
            inbox.leave();
        }
        served
    });
    let clients: Vec<_> = (0..CLIENTS).map(|_| stand.greet()).collect();
    stand.until(|figures| figures.handed == CLIENTS as u64);
    done.send(()).unwrap();
    let served = coming_and_going.join().unwrap();
    let (rest, _steady) = take(steady, CLIENTS - served.len());
    let mut addresses: Vec<_> = served.iter().chain(&rest).map(|accepted| accepted.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), CLIENTS);
    drop(clients);
}

/// Takes connections until the time is up.
async fn take_until(inbox: &Inbox, mut until: portcullis_reactor::Sleep, taken: &mut Vec<Accepted>) {
    loop {
        let mut next = std::pin::pin!(inbox.next());
        let came = std::future::poll_fn(|context| {
            use std::future::Future;
            use std::task::Poll;
            if let Poll::Ready(accepted) = next.as_mut().poll(context) {
                return Poll::Ready(Some(accepted));
            }
            std::pin::Pin::new(&mut until).poll(context).map(|()| None)
        });
        match came.await {
            Some(accepted) => taken.push(accepted),
            None => return,
        }
    }
}

#[test]
fn closing_leaves_nobody_in_the_backlog_and_waits_for_greetings() {
    let stand = stand(Bounds { hello_timeout: Duration::from_secs(30), ..generous() });
    let mut slow = stand.connect();
    let _quick = stand.greet();
    // Nothing is accepted while nobody is there to serve.
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(stand.acceptor.figures().accepted, 0);
    stand.acceptor.stop();
    assert_eq!(TcpStream::connect(stand.address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let figures = || {
        let figures = stand.acceptor.figures();
        (figures.accepted, figures.pending, figures.waiting)
    };
    // What it has accepted last may still be on its way to its place.
    let late = Instant::now() + Duration::from_secs(5);
    while figures() != (2, 1, 1) && Instant::now() < late {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(figures(), (2, 1, 1));
    let inbox = stand.acceptor.register();
    slow.write_all(&greeting()).unwrap();
    assert_eq!(take(inbox, 2).0.len(), 2);
}

#[test]
fn listens_on_several_sockets_and_on_ones_it_is_given() {
    let stand = stand(generous());
    let inbox = stand.acceptor.register();
    let given = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let expected = given.local_addr().unwrap();
    assert_eq!(stand.acceptor.listen_fd(given.into()).unwrap(), expected);
    let mut second = TcpStream::connect(expected).unwrap();
    second.write_all(&greeting()).unwrap();
    let _first = stand.greet();
    let (taken, inbox) = take(inbox, 2);
    drop(taken);
    stand.acceptor.close(stand.address);
    assert!(TcpStream::connect(stand.address).is_err());
    let mut third = TcpStream::connect(expected).unwrap();
    third.write_all(&greeting()).unwrap();
    assert_eq!(take(inbox, 1).0.len(), 1);
    let no_listener = OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    assert!(stand.acceptor.listen_fd(no_listener).is_err());
}

#[test]
fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = Acceptor::default().listen(taken.local_addr().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn accepted_sockets_have_the_bound_of_the_receive_buffer() {
    let stand = stand(generous());
    let inbox = stand.acceptor.register();
    let _client = stand.greet();
    let (taken, _inbox) = take(inbox, 1);
    let (mut value, mut length): (i32, _) = (0, 4);
    // SAFETY: writes an int of that size.
    unsafe {
        libc::getsockopt(
            taken[0].fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUF,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    assert_eq!(value, 2 * socket::RECEIVE_BUFFER_BYTES);
}

#[test]
fn an_address_is_a_network_of_64_bits_with_ipv6() {
    let places: Arc<Places> = Arc::default();
    let bounds = Bounds { per_address: 1, ..Bounds::default() };
    let v6 = |high: u16, low: u16| SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, high, 0, 0, 0, low), 1));
    let first = places.take(v6(1, 1), &bounds).unwrap();
    assert_eq!(places.take(v6(1, 2), &bounds).unwrap_err(), Refusal::PerAddress);
    let _other = places.take(v6(2, 1), &bounds).unwrap();
    drop(first);
    let _again = places.take(v6(1, 2), &bounds).unwrap();
    let v4 = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 1));
    let mapped = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped(), 2));
    let _first = places.take(v4, &bounds).unwrap();
    assert_eq!(places.take(mapped, &bounds).unwrap_err(), Refusal::PerAddress);
}

/// Out of descriptors it rests instead of spinning, and goes on when there are some. In a process of its own: the bound
/// is the process's.
#[test]
fn rests_without_descriptors() {
    const ALONE: &str = "PORTCULLIS_TEST_WITHOUT_DESCRIPTORS";
    if std::env::var_os(ALONE).is_none() {
        let name = "acceptor::tests::rests_without_descriptors";
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let output = alone.args(["--exact", name]).env(ALONE, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let stand = stand(generous());
    let inbox = stand.acceptor.register();
    let clients: Vec<_> = (0..4).map(|_| stand.connect()).collect();
    stand.until(|figures| figures.accepted == 4);
    let mut hoard = Vec::new();
    let set = |limit: u64| {
        let limit = libc::rlimit { rlim_cur: limit, rlim_max: 4096 };
        // SAFETY: reads the structure.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    };
    let before = thread_cpu();
    set(64);
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    // A descriptor for the client, none for the acceptor.
    hoard.pop();
    let mut late = stand.connect();
    late.write_all(&greeting()).unwrap();
    std::thread::sleep(Duration::from_millis(350));
    let pauses = stand.acceptor.figures().pauses;
    assert!((2..=5).contains(&pauses), "{pauses} pauses");
    hoard.clear();
    assert!(thread_cpu() - before <= Duration::from_millis(20));
    assert_eq!(take(inbox, 1).0.len(), 1);
    drop(clients);
}
