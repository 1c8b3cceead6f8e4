<?php

/*
 * Calls the service as a program on NuSOAP does, knowing only where the WSDL is. README.md says how to talk to it.
 *
 *     php nusoap_client.php WSDL-URL 1.1
 */

[, $wsdl, $version] = $argv;
require __DIR__ . '/nusoap.php';
if ($version !== '1.1') {
    exit('NuSOAP knows SOAP 1.1 only');
}

const NAMESPACE_OF_SERVICE = 'sosonlinebackup.com';

function call(nusoap_client $client, array $given): array
{
    // Made from an array it would be in no namespace.
    $client->setHeaders('<AuthHeader xmlns="' . NAMESPACE_OF_SERVICE . '"><UserName>' . escaped($given['user_name'])
        . '</UserName><Password>' . escaped($given['password']) . '</Password></AuthHeader>');
    $response = $client->call($given['operation'], ['request' => $given['request']]);
    if ($client->fault) {
        return ['fault' => $response['faultstring'], 'faultcode' => $response['faultcode']];
    }
    if ($client->getError()) {
        return ['error' => $client->getError()];
    }
    $returned = $response["$given[operation]Result"];
    $result = $returned['Result'];
    unset($returned['Result']);
    return ['result' => (int) $result['Result'], 'code' => $result['Code'], 'message' => $result['Message']]
        + plain($returned);
}

function escaped(string $text): string
{
    return htmlspecialchars($text, ENT_XML1);
}

/** NuSOAP hands out texts only, an array of one as its item, and null as an empty text. */
function plain(array $value): array
{
    foreach ($value as $name => &$member) {
        if (in_array($name, ['UserLicenseSummary', 'LicensePool', 'AssignLicensesItemResult'], true)) {
            $member = array_map(plain(...), array_is_list($member) ? $member : [$member]);
        } elseif (is_array($member)) {
            $member = plain($member);
        } elseif (str_starts_with($name, 'Seats') || $name === 'Result') {
            $member = (int) $member;
        } elseif (str_ends_with($name, 'sAt') && $member === '') {
            $member = null;
        }
    }
    return $value;
}

$client = new nusoap_client($wsdl, 'wsdl');
// It is Latin 1 otherwise, both ways.
$client->soap_defencoding = 'UTF-8';
$client->decode_utf8 = false;
while (($line = fgets(STDIN)) !== false) {
    echo json_encode(call($client, json_decode($line, true)), JSON_THROW_ON_ERROR), "\n";
}
