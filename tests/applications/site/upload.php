<?php
// Uploads by forms, and of anything by PUT.
if ($_SERVER['REQUEST_METHOD'] === 'PUT') {
    echo md5_file('php://input'), ' ', $_SERVER['CONTENT_LENGTH'];
    exit;
}
foreach ($_FILES as $field => $file) {
    echo $field, ' ', $file['name'], ' ', $file['type'], ' ', $file['size'], ' ',
        md5_file($file['tmp_name']), "\n";
    move_uploaded_file($file['tmp_name'], __DIR__ . '/uploads/' . basename($file['name']));
}
echo $_POST['title'] ?? 'no title';
