//! Tests with PHP, if it is installed.

use crate::harness::{Php, Server, skipped};

#[test]
fn scripts_are_run() {
    let Some(php) = Php::start(&[
        ("site/index.php", "<?php echo 'index ', $_GET['a'] ?? '';"),
        (
            "site/post.php",
            "<?php echo strlen(file_get_contents('php://input')), $_POST['a'] ?? '';",
        ),
        (
            "site/info.php",
            "<?php http_response_code(418); setcookie('a', 'b'); error_log('told'); \
             echo $_SERVER['PATH_INFO'], ' ', $_SERVER['HTTP_X_A'], ' ', $_SERVER['HTTP_HOST'];",
        ),
        ("site/large.php", "<?php for ($i = 0; $i < 30000; $i++) echo md5($i), md5($i);"),
        ("site/login.php", "<?php header('Location: /index.php');"),
    ]) else {
        return skipped("no php-fpm");
    };
    let server = Server::server(
        "root %php%/site; index index.php;
         fastcgi_index index.php; fastcgi_split_path_info ^(.+\\.php)(/.*)$;
         fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
         fastcgi_param QUERY_STRING $query_string; fastcgi_param REQUEST_METHOD $request_method;
         fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length;
         fastcgi_param PATH_INFO $fastcgi_path_info;
         location ~ \\.php(/|$) { fastcgi_pass unix:%php%/socket; fastcgi_keep_conn on; }",
    )
    .set("php", php.directory.path().display())
    .start();
    assert_eq!(server.text("/?a=b"), "index b");
    let answer = server.get_with("/info.php/x/y", "X-A: z\r\n");
    assert_eq!(answer.status, 418);
    assert!(answer.text().starts_with("/x/y z "), "{}", answer.text());
    assert_eq!(answer.header("set-cookie"), Some("a=b"));
    server.wait_log("FastCGI sent in stderr: \"PHP message: told\" while reading");
    let large = server.get("/large.php");
    assert_eq!((large.status, large.body.len()), (200, 30_000 * 64));
    let answer = server.get("/login.php");
    assert_eq!((answer.status, answer.header("location")), (302, Some("/index.php")));
    let body = format!("a={}", "x".repeat(200_000));
    let mut client = server.client();
    client.send(format!(
        "POST /post.php HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(client.response().text(), format!("200002{}", &body[2..]));
    assert_eq!(server.get("/none.php").status, 404);
    server.wait_log("FastCGI sent in stderr: \"Primary script unknown\" while reading");
}
