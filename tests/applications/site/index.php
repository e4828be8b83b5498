<?php
// The front controller of a small site with pretty permalinks: every path without a file ends here.
$posts = ['hello-world' => 'Hello, world', 'grüße' => 'Grüße'];
$path = rawurldecode(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
if ($path === '/' || $path === '/index.php') {
    echo 'home ', $_GET['s'] ?? '';
} elseif (isset($posts[trim($path, '/')])) {
    if (!str_ends_with($path, '/')) {
        header("Location: http://{$_SERVER['HTTP_HOST']}$path/", true, 301);
        exit;
    }
    header('X-Generated-By: ' . getmypid());
    echo 'post ', $posts[trim($path, '/')], ' ', $_GET['page'] ?? 1, ' ', $_SERVER['PATH_INFO'] ?? '-';
} elseif ($path === '/short/') {
    header('Location: ../hello-world/');
} elseif ($path === '/moved/') {
    header('Location: /hello-world/', true, 308);
} else {
    http_response_code(404);
    echo 'nothing at ', htmlspecialchars($path), ' ', $_SERVER['PATH_INFO'] ?? '';
}
