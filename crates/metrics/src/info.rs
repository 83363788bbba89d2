//! INFO's text, read: sections, and their fields in their order.

/// A section and its fields.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    pub(crate) title: &'a str,
    pub(crate) fields: Vec<(&'a str, &'a str)>,
}

/// All sections of a text. Lines that are no fields are passed over.
pub(crate) fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            let fields = Vec::new();
            sections.push(Section { title, fields });
        } else if let (Some(section), Some(field)) = (sections.last_mut(), line.split_once(':')) {
            section.fields.push(field);
        }
    }
    sections
}

/// The value of a field, whatever section it is in.
pub(crate) fn field<'a>(sections: &[Section<'a>], name: &str) -> Option<&'a str> {
    let mut fields = sections.iter().flat_map(|section| &section.fields);
    fields
        .find(|(known, _)| *known == name)
        .map(|(_, value)| *value)
}

/// One part of a value like `keys=1,expires=0`.
pub(crate) fn part<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value
        .split(',')
        .filter_map(|part| part.split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

/// A value as a number: `ok` is 1, `fail` and `err` are 0.
pub(crate) fn number(value: &str) -> Option<f64> {
    match value {
        "ok" => Some(1.0),
        "err" | "fail" => Some(0.0),
        other => other.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// Whether a field is `name` with a number behind it, like `slave0`.
pub(crate) fn is_numbered(field: &str, name: &str) -> bool {
    field.strip_prefix(name).is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_fields_and_parts() {
        let text =
            "# A\r\none:1\r\nbroken\r\n\r\n# B\r\nslave0:ip=::1,port=1,state=online\r\ntwo:x:y\r\n";
        let all = sections(text);
        assert_eq!((all.len(), all[0].title), (2, "A"));
        assert_eq!(field(&all, "two"), Some("x:y"));
        assert_eq!(field(&all, "three"), None);
        let slave = field(&all, "slave0").unwrap();
        assert_eq!(
            (part(slave, "ip"), part(slave, "offset")),
            (Some("::1"), None)
        );
        assert!(is_numbered("slave0", "slave") && !is_numbered("slave_priority", "slave"));
    }

    #[test]
    fn words_are_numbers_and_nonsense_is_none() {
        assert_eq!(
            ["ok", "err", "-1", "1.5", "nan", "up"].map(number),
            [Some(1.0), Some(0.0), Some(-1.0), Some(1.5), None, None]
        );
    }
}
