<?php
// An application for comparisons: `do=` names the kind of its response.
$body = file_get_contents('php://input');
$do = $_GET['do'] ?? '';
$page = "php $do " . $_SERVER['REQUEST_METHOD'] . ' ' . strlen($body) . ' ' . md5($body) . "\n"
    . ($_SERVER['PATH_INFO'] ?? '-') . "\n" . ($_GET['q'] ?? '-') . "\n";
switch ($do) {
    case 'empty': return;
    case 'redirect': header('Location: /page.html?x=y'); break;
    case 'absolute': header('Location: http://' . ($_SERVER['HTTP_HOST'] ?? '') . '/a', true, 301); break;
    case 'status': http_response_code(500); break;
    case 'missing': http_response_code(404); break;
    case 'teapot': header('Status: 418 Short and stout'); break;
    case 'unchanged': http_response_code(304); return;
    case 'none': http_response_code(204); return;
    case 'cookie':
        setcookie('a', 'b', 0, '/app/', 'localhost', true, true);
        setcookie('c', 'd e');
        break;
    case 'large':
        for ($i = 0; $i < 3000; $i++) echo md5($i), "\n";
        return;
    case 'length': header('Content-Length: ' . strlen($page)); break;
    case 'ranges':
        header('Accept-Ranges: bytes');
        header('Content-Length: ' . strlen($page));
        break;
    case 'etag':
        header('ETag: "tag"');
        header('Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT');
        header('Content-Length: ' . strlen($page));
        break;
    case 'expires': header('X-Accel-Expires: 1000'); break;
    case 'control': header('Cache-Control: max-age=1000, public'); break;
    case 'private': header('Cache-Control: private, no-store'); break;
    case 'vary': header('Vary: Accept-Encoding, X-A'); header('X-Accel-Expires: 1000'); break;
    case 'varyall': header('Vary: *'); header('X-Accel-Expires: 1000'); break;
    case 'accel': header('X-Accel-Redirect: /page.html?of=accel'); header('X-Own: 1'); break;
    case 'accelto': header('X-Accel-Redirect: /none/such'); break;
    case 'accelup': header('X-Accel-Redirect: /../up'); break;
    case 'accelname': header('X-Accel-Redirect: @named'); break;
    case 'accelset': header('X-Accel-Charset: koi8-r'); header('X-Accel-Buffering: no'); break;
    case 'rate': header('X-Accel-Limit-Rate: 10000000'); break;
    case 'json': header('Content-Type: application/json'); echo '{"a":1}'; return;
    case 'html': echo str_repeat("<p>a line of text</p>\n", 200); return;
    case 'typeless': header('Content-Type:'); header_remove('Content-Type'); break;
    case 'refresh': header('Refresh: 5; url=/page.html'); break;
    case 'twice': header('X-A: 1'); header('X-A: 2', false); header('Cache-Control: a'); header('Cache-Control: b', false); break;
    case 'parts': echo 'one '; flush(); echo 'two '; flush(); break;
    case 'stderr': error_log('said so'); break;
    case 'warning': echo $undefined; break;
    case 'date': header('Date: Sun, 06 Nov 1994 08:49:37 GMT'); header('Server: own'); header('Connection: close'); header('Keep-Alive: x'); break;
    case 'long': header('X-Long: ' . str_repeat('x', 3000)); break;
    case 'toolong': header('X-Long: ' . str_repeat('x', 5000)); break;
    case 'coded': header('Content-Encoding: identity'); break;
    case 'chunked': header('Transfer-Encoding: chunked'); break;
    case 'hop': header('Upgrade: x'); header('Trailer: y'); header('Via: 1.1 z'); break;
    case 'disposition': header('Content-Disposition: attachment; filename="a b.txt"'); break;
}
echo $page;
