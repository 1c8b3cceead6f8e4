<?php

/*
 * NuSOAP as Debian has it, for PHP 8. Debian 12 ships release 0.9.5, whose constructors have the names of their classes, as
 * in PHP 4; PHP 8 does not call them. Here they get their new name. Nothing else changes, so what is sent is NuSOAP's own.
 */

// Much in it is deprecated.
error_reporting(E_ERROR | E_PARSE | E_RECOVERABLE_ERROR);
ini_set('display_errors', 'stderr');

(function (): void {
    $file = '/usr/share/php/nusoap/nusoap.php';
    if (!is_file($file)) {
        fwrite(STDERR, "libnusoap-php is not installed: run tests/install\n");
        exit(1);
    }
    $code = file_get_contents($file);
    preg_match_all('/^class (\w+)/m', $code, $classes);
    foreach ($classes[1] as $class) {
        $code = preg_replace("/(function|parent::)(\s*)$class\(/i", '$1$2__construct(', $code);
    }
    eval(substr($code, strlen('<?php')));
})();
