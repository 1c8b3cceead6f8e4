<?php

/*
 * AssignLicense as a program on PHP's SoapClient calls it, knowing only where the WSDL is.
 *
 *     php soap_client.php WSDL-URL 1.1|1.2    calls: a JSON object a line on standard input, a JSON object a line in answer
 *
 * A call has user_name, password, username, provider_entity_id and license_type; one that is null is not sent. An answer
 * has result, code and message, or fault and faultcode where SoapClient raised one, its own included.
 */

ini_set('display_errors', 'stderr');
[, $wsdl, $version] = $argv;
$client = new SoapClient($wsdl, [
    'soap_version' => ['1.1' => SOAP_1_1, '1.2' => SOAP_1_2][$version],
    'cache_wsdl' => WSDL_CACHE_NONE,
    'connection_timeout' => 60,
    'exceptions' => true,
]);
// SoapClient knows the type of the header block by its name, and that name's namespace is the WSDL's.
$document = new DOMDocument();
$document->load($wsdl);
$namespace = $document->documentElement->getAttribute('targetNamespace');

function call(SoapClient $client, string $namespace, array $given): array
{
    $present = fn (array $values): array => array_filter($values, fn ($value): bool => $value !== null);
    $header = new SoapHeader($namespace, 'AuthHeader', $present([
        'UserName' => $given['user_name'] ?? null,
        'Password' => $given['password'] ?? null,
    ]));
    $request = $present([
        'Username' => $given['username'] ?? null,
        'LicenseProviderEntityId' => $given['provider_entity_id'] ?? null,
        'LicenseType' => $given['license_type'] ?? null,
    ]);
    try {
        $response = $client->__soapCall('AssignLicense', [['request' => $request]], null, $header);
    } catch (SoapFault $fault) {
        return ['fault' => $fault->getMessage(), 'faultcode' => $fault->faultcode];
    }
    $result = $response->AssignLicenseResult->Result;
    return ['result' => $result->Result, 'code' => $result->Code, 'message' => $result->Message];
}

while (($line = fgets(STDIN)) !== false) {
    $given = json_decode($line, true, flags: JSON_THROW_ON_ERROR);
    echo json_encode(call($client, $namespace, $given), JSON_THROW_ON_ERROR), "\n";
}
