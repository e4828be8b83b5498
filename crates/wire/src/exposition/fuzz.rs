//! Entry point of a fuzz target and tests: what is written of any labels and values is read by a
//! parser of its own.

use super::{Distribution, Exemplar, Exposition, Format, Labels, Value};

/// A sample as read: its name, labels and value, and the labels of its exemplar.
type Sample = (String, Vec<(String, String)>, f64, Option<Vec<(String, String)>>);

/// Writes families with parts of `data` as values of labels, and reads them.
pub fn fuzz(data: &[u8]) {
    let _ = Format::preferred(data);
    let text = String::from_utf8_lossy(data);
    let mut texts: Vec<&str> = text.split('\u{1}').collect();
    texts.truncate(3);
    let names = ["zone", "server", "a_b"];
    let pairs: Vec<_> = names.into_iter().zip(texts).collect();
    let number = data.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let real = f64::from_bits(number);
    let labels = Labels::of(&pairs);
    for format in [Format::Text, Format::OpenMetrics] {
        let mut out = Exposition::new(format);
        out.counter("weir_a_total", "Say \"a\\b\".").sample(&labels, number);
        out.gauge("weir_b_seconds", "Two\nlines.").sample(&labels, real).sample(Labels::NONE, 1u64);
        let exemplar = Exemplar { labels: labels.clone(), value: real, time: 1.5 };
        let distribution = Distribution {
            ends: &[0.5],
            counts: &[number >> 32, 2],
            sum: real,
            exemplars: &[Some(exemplar), None],
        };
        out.histogram("weir_c_seconds", "C.").distribution(&labels, &distribution);
        out.info("weir_d_info", "D.").sample(&labels, 1u64);
        let text = out.finish();
        let samples = read(&text, format);
        let named: Vec<_> = samples.iter().map(|sample| &*sample.0).collect();
        let expected = [
            "weir_a_total",
            "weir_b_seconds",
            "weir_b_seconds",
            "weir_c_seconds_bucket",
            "weir_c_seconds_bucket",
            "weir_c_seconds_sum",
            "weir_c_seconds_count",
            "weir_d_info",
        ];
        assert_eq!(named, expected, "{text}");
        let own: Vec<_> =
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        for (place, sample) in samples.iter().enumerate().filter(|(place, _)| *place != 2) {
            assert_eq!(sample.1[..own.len()], own, "{text}");
            assert_eq!(sample.1.len(), own.len() + usize::from([3, 4].contains(&place)));
        }
        assert!(same(samples[0].2, number as f64) && same(samples[1].2, real), "{text}");
        let length: usize = own
            .iter()
            .map(|(name, value): &(String, String)| name.chars().count() + value.chars().count())
            .sum();
        if let Some(exemplar) = &samples[3].3 {
            assert!(format == Format::OpenMetrics && *exemplar == own && length <= 128, "{text}");
        }
    }
    let mut written = String::new();
    Value::Real(real).write(&mut written);
    assert!(same(value(&written), real), "{written}");
}

fn same(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan()
}

fn value(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        number => {
            assert!(number.starts_with(|c: char| c.is_ascii_digit() || c == '-'), "{number}");
            number.parse().unwrap_or_else(|_| panic!("{number} is a number"))
        }
    }
}

/// The samples of a text, which must be nothing but lines of samples and of the three comments.
fn read(text: &str, format: Format) -> Vec<Sample> {
    let text = match format {
        Format::Text => text.strip_suffix('\n'),
        Format::OpenMetrics => text.strip_suffix("\n# EOF\n"),
    };
    let mut samples = Vec::new();
    for line in text.expect("the end").split('\n') {
        if let Some(comment) = line.strip_prefix("# ") {
            let kind = comment.split(' ').next().expect("a kind");
            let is_unit = kind == "UNIT" && format == Format::OpenMetrics;
            assert!(is_unit || ["HELP", "TYPE"].contains(&kind), "{line}");
            continue;
        }
        samples.push(sample(line));
    }
    samples
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect("the end of a name");
    let (name, mut rest) = line.split_at(end);
    let labels = if rest.starts_with('{') { labels(&mut rest) } else { Vec::new() };
    rest = rest.strip_prefix(' ').expect("a space");
    let (number, exemplar) = match rest.split_once(" # ") {
        None => (rest, None),
        Some((number, mut rest)) => {
            let labels = self::labels(&mut rest);
            let [given, time] = rest.trim_start().split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let _ = (value(given), value(time));
            (number, Some(labels))
        }
    };
    (name.to_owned(), labels, value(number), exemplar)
}

/// Labels in braces, which are removed from the front.
fn labels(rest: &mut &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut characters = rest.strip_prefix('{').expect("a brace").char_indices();
    let whole = characters.as_str();
    loop {
        let mut name = String::new();
        for (_, c) in characters.by_ref().take_while(|&(_, c)| c != '=') {
            assert!(c.is_ascii_lowercase() || c == '_', "{whole}");
            name.push(c);
        }
        assert!(characters.next().is_some_and(|(_, c)| c == '"'), "{whole}");
        let mut text = String::new();
        loop {
            match characters.next().expect("the end of a value").1 {
                '"' => break,
                '\\' => text.push(match characters.next().expect("what is escaped").1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    other => panic!("\\{other} in {whole}"),
                }),
                other => text.push(other),
            }
        }
        all.push((name, text));
        match characters.next().expect("more").1 {
            ',' => {}
            '}' => break,
            other => panic!("{other} in {whole}"),
        }
    }
    *rest = characters.as_str();
    all
}
