//! Generated cases: `cargo xtask compare --generated`.
//!
//! Each case has servers and locations of real configurations (`places.tsv`), served from files, by
//! the scripted upstream, PHP or uwsgi, with drawn settings, half of them with a cache. The
//! requests are drawn, too: ordinary, odd and broken ones. The seed of a case gives all of it.

#[path = "generated/configuration.rs"]
mod configuration;
#[path = "generated/known.rs"]
mod known;
#[path = "generated/lines.rs"]
mod lines;
#[path = "generated/requests.rs"]
mod requests;

use fastrand::Rng;

use super::applications::{Protocol, SCRIPT};
use super::case::{self, Act, Case, Reply, Version};
use super::difference::Difference;

/// Server names and locations of public configurations; `compare/README.md` says how to renew it.
const PLACES: &str = include_str!("generated/places.tsv");

/// The responses of the scripted upstream, with the names that the applications know, too.
const REPLIES: &str = include_str!("applications/upstream.txt");

/// The number of requests per case.
const REQUESTS: usize = 40;

/// Names and locations to draw from.
struct Places {
    names: Vec<&'static str>,
    /// Modifiers and paths or patterns.
    locations: Vec<&'static str>,
}

impl Places {
    fn read() -> Self {
        let of = |kind: &'static str| {
            PLACES.lines().filter_map(move |line| line.strip_prefix(kind)?.strip_prefix('\t'))
        };
        Self { names: of("name").collect(), locations: of("location").collect() }
    }
}

/// The cases of consecutive seeds, with combinations of filters and subrequests if `combined`.
pub(crate) fn cases(first: u64, count: u64, combined: bool) -> Vec<Case> {
    let places = Places::read();
    (first..first + count).map(|seed| generate(&places, seed, combined)).collect()
}

/// Prints the unexpected differences and a summary; whether there are none. `h2`: the cases went
/// over HTTP/2.
pub(crate) fn judge(
    cases: &[Case],
    found: &[Vec<Difference>],
    version: Version,
    page: &str,
    h2: bool,
) -> bool {
    let known = known::all(version, h2);
    let unnamed = known::unnamed(&known, page);
    unnamed.iter().for_each(|reason| println!("not in docs/differences.md: {reason}"));
    let (mut expected, mut failures) = (known::Tally::default(), unnamed.len());
    let mut declared = 0;
    for (case, differences) in cases.iter().zip(found) {
        for difference in differences {
            if difference.is_declared(case, version) {
                declared += 1;
                continue;
            }
            match known::reasons(
                &known,
                case.conf.get("http").map_or("", String::as_str),
                difference,
            ) {
                Some(reasons) => expected.add(&reasons),
                None => {
                    println!("{difference}");
                    failures += 1;
                }
            }
        }
    }
    expected.print();
    println!("{} differences as expected, {failures} failures", expected.count() + declared);
    failures == 0
}

fn generate(places: &Places, seed: u64, combined: bool) -> Case {
    let mut rng = Rng::with_seed(seed);
    let servers = configuration::servers(&mut rng, places);
    let conf = configuration::write(&mut rng, &servers, combined);
    let mut exchanges: Vec<_> =
        (0..REQUESTS).map(|_| requests::exchange(&mut rng, &servers)).collect();
    if combined {
        // Subrequests run beside each other.
        let options = exchanges.iter_mut().map(|exchange| &mut exchange.options);
        options.for_each(|options| drop(options.insert("any-order".to_owned(), String::new())));
    }
    case::name_apart(&mut exchanges);
    Case {
        theme: "generated".to_owned(),
        title: format!("seed {seed}"),
        conf: [("http", conf)].into(),
        files: files(combined),
        upstreams: vec![("b".to_owned(), replies())],
        applications: vec![("p".to_owned(), Protocol::FastCgi), ("u".to_owned(), Protocol::Uwsgi)],
        exchanges,
        ..Case::default()
    }
}

fn replies() -> Vec<Reply> {
    let mut replies = case::replies(&REPLIES.lines().collect::<Vec<_>>());
    for act in replies.iter_mut().flat_map(|reply| &mut reply.acts) {
        if let Act::Send(bytes) = act {
            *act = Act::Page(std::mem::take(bytes));
        }
    }
    replies
}

fn files(combined: bool) -> Vec<(String, Vec<u8>)> {
    let files: [(&str, Vec<u8>); 13] = [
        ("index.php", SCRIPT.into()),
        ("dir/index.php", SCRIPT.into()),
        ("index.html", b"<p>index</p>\n".into()),
        ("page.html", b"<p>page</p>\n".repeat(40)),
        ("404.html", b"<p>none</p>\n".into()),
        ("50x.html", b"<p>sorry</p>\n".into()),
        ("a.txt", b"0123456789".repeat(100)),
        ("big.txt", b"a line of the big file\n".repeat(9000)),
        ("dir/index.html", b"<p>folder</p>\n".into()),
        ("dir/b c.txt", b"blank\n".into()),
        ("style.css", b"p { color: red }\n".repeat(30)),
        (".htaccess", b"secret\n".into()),
        ("users", b"a:{PLAIN}b\n".into()),
    ];
    let page = combined.then(|| ("ssi.html", PAGE.into()));
    let files = files.into_iter().chain(page);
    files.map(|(name, content)| (format!("html/{name}"), content)).collect()
}

/// A page of SSI.
const PAGE: &str = "<!--# echo var=\"uri\" --> <!--# include virtual=\"/page.html\" -->
<!--# include virtual=\"/a.txt?x\" wait=\"yes\" --> <!--# include virtual=\"/missing\" -->
<!--# if expr=\"$arg_q\" -->q<!--# else -->none<!--# endif -->
<!--# set var=\"v\" value=\"$host\" --><!--# echo var=\"v\" -->
<!--# include virtual=\"/?do=length\" stub=\"s\" --><!--# block name=\"s\" -->stub<!--# endblock -->
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_a_case() {
        let [one, again] = [(); 2].map(|()| generate(&Places::read(), 7, true));
        assert_eq!(one.conf, again.conf);
        assert_eq!(one.exchanges.len(), REQUESTS);
        let bytes = |case: &Case| case.exchanges[3].turns[0].bytes.clone();
        assert_eq!(bytes(&one), bytes(&again));
        let other = generate(&Places::read(), 8, true);
        assert_ne!(one.conf, other.conf);
    }
}
