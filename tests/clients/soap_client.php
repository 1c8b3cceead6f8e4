<?php

/*
 * Calls the service as a program on PHP's SoapClient does, knowing only where the WSDL is.
 *
 *     php soap_client.php WSDL-URL 1.1|1.2    calls: a JSON object a line on standard input, a JSON object a line in answer
 *
 * A call has user_name, password, operation and request (a member that is not there is not sent). An answer has result,
 * code and message, and what else the operation returns; or fault and faultcode where SoapClient raised one, its own
 * included.
 */

ini_set('display_errors', 'stderr');
[, $wsdl, $version] = $argv;
$client = new SoapClient($wsdl, [
    'soap_version' => ['1.1' => SOAP_1_1, '1.2' => SOAP_1_2][$version],
    'cache_wsdl' => WSDL_CACHE_NONE,
    'connection_timeout' => 60,
    'exceptions' => true,
    // An array of one is an array.
    'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
]);
// SoapClient knows the type of the header block by its name, and that name's namespace is the WSDL's.
$document = new DOMDocument();
$document->load($wsdl);
$namespace = $document->documentElement->getAttribute('targetNamespace');

function call(SoapClient $client, string $namespace, array $given): array
{
    $header = new SoapHeader($namespace, 'AuthHeader', [
        'UserName' => $given['user_name'],
        'Password' => $given['password'],
    ]);
    try {
        $response = $client->__soapCall($given['operation'], [['request' => $given['request']]], null, $header);
    } catch (SoapFault $fault) {
        return ['fault' => $fault->getMessage(), 'faultcode' => $fault->faultcode];
    }
    $returned = get_object_vars($response->{$given['operation'] . 'Result'});
    $result = $returned['Result'];
    unset($returned['Result']);
    if (isset($returned['LicenseData'])) {
        // SoapClient hands out bytes, which JSON cannot carry.
        $returned['LicenseData'] = base64_encode($returned['LicenseData']);
    }
    return ['result' => $result->Result, 'code' => $result->Code, 'message' => $result->Message] + $returned;
}

while (($line = fgets(STDIN)) !== false) {
    $given = json_decode($line, true, flags: JSON_THROW_ON_ERROR);
    echo json_encode(call($client, $namespace, $given), JSON_THROW_ON_ERROR), "\n";
}
