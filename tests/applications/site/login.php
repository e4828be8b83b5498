<?php
// Sessions by cookie.
session_save_path(__DIR__ . '/../sessions');
session_start();
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $_SESSION['name'] = $_POST['name'];
    setcookie('member', '1');
    header('Location: login.php', true, 303);
    exit;
}
$_SESSION['views'] = ($_SESSION['views'] ?? 0) + 1;
echo $_SESSION['name'] ?? 'nobody', ' ', $_SESSION['views'];
